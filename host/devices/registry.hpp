// The devices of this machine, by name. A kind of device is a string with a provider; four are
// built in.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/json.hpp"
#include "host/devices/device.hpp"

namespace quanthost {

// Knows the devices of one kind.
class DeviceProvider {
 public:
  virtual ~DeviceProvider() = default;
  virtual std::string kind() const = 0;
  // Never empty and never throws for want of hardware: a kind that cannot be used is one entry with
  // its reason.
  virtual std::vector<DeviceInfo> list() = 0;
  virtual std::unique_ptr<Device> open(int index) = 0;  // an index of list() that is available
};

// Any thread. Holds cpu, cuda, hip and emulated from the start; drivers are opened when first asked
// for.
class DeviceRegistry {
 public:
  DeviceRegistry();
  ~DeviceRegistry();

  // Takes the place of a provider of the same kind.
  void add(std::unique_ptr<DeviceProvider> provider);
  std::vector<DeviceInfo> list();
  // "cuda:1"; "cuda" is "cuda:0". The device lives as long as the registry. Throws Error: a kind
  // nobody provides and an index that does not exist are value errors with what there is, a kind
  // without driver is a runtime error with the cause.
  Device& open(std::string_view name);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

DeviceRegistry& devices();  // the process's own

// For `quanthost devices [--json]`.
inline std::vector<DeviceInfo> list_devices() { return devices().list(); }
std::string devices_to_text(const std::vector<DeviceInfo>& devices);
Json devices_to_json(const std::vector<DeviceInfo>& devices);

}  // namespace quanthost
