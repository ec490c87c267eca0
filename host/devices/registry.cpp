#include "host/devices/registry.hpp"

#include <charconv>
#include <map>
#include <mutex>

#include "host/base/error.hpp"
#include "host/devices/providers.hpp"

namespace quanthost {

struct DeviceRegistry::State {
  std::mutex mutex;
  std::vector<std::unique_ptr<DeviceProvider>> providers;
  std::map<std::string, std::unique_ptr<Device>> opened;
};

DeviceRegistry::DeviceRegistry() : state_(std::make_unique<State>()) {
  add(make_cpu_provider());
  add(make_cuda_provider());
  add(make_hip_provider());
  add(make_emulated_provider());
}
DeviceRegistry::~DeviceRegistry() = default;

void DeviceRegistry::add(std::unique_ptr<DeviceProvider> provider) {
  const std::lock_guard lock(state_->mutex);
  for (auto& known : state_->providers) {
    if (known->kind() == provider->kind()) {
      known = std::move(provider);
      return;
    }
  }
  state_->providers.push_back(std::move(provider));
}

std::vector<DeviceInfo> DeviceRegistry::list() {
  const std::lock_guard lock(state_->mutex);
  std::vector<DeviceInfo> all;
  for (const auto& provider : state_->providers) {
    for (DeviceInfo& info : provider->list()) all.push_back(std::move(info));
  }
  return all;
}

namespace {

struct ParsedName {
  std::string kind;
  int index = 0;
};

ParsedName parse(std::string_view name) {
  const std::size_t colon = name.find(':');
  ParsedName parsed{std::string(name.substr(0, colon))};
  if (colon == std::string_view::npos) return parsed;
  const std::string_view digits = name.substr(colon + 1);
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), parsed.index);
  if (error != std::errc() || end != digits.data() + digits.size() || parsed.index < 0) {
    fail(ErrorKind::kValue,
         "device `{}`: after the colon comes the number of the device, as in cuda:0", name);
  }
  return parsed;
}

}  // namespace

Device& DeviceRegistry::open(std::string_view name) {
  const ParsedName wanted = parse(name);
  const std::lock_guard lock(state_->mutex);
  std::string kinds;
  for (const auto& provider : state_->providers) {
    kinds += (kinds.empty() ? "" : ", ") + provider->kind();
    if (provider->kind() != wanted.kind) continue;
    const std::vector<DeviceInfo> there = provider->list();
    for (const DeviceInfo& info : there) {
      if (!info.available()) {
        throw Error(ErrorKind::kRuntime,
                    fmt::format("device `{}` cannot be used: {}", name, info.reason),
                    "`quanthost devices` lists the devices of this machine; `cpu` always works");
      }
      if (info.index != wanted.index) continue;
      std::unique_ptr<Device>& device = state_->opened[info.name()];
      if (!device) device = provider->open(wanted.index);
      return *device;
    }
    fail(ErrorKind::kValue, "device `{}` does not exist: this machine has {} of kind {}", name,
         there.size(), wanted.kind);
  }
  fail(ErrorKind::kValue, "device `{}`: no such kind of device; there are {}", name, kinds);
}

DeviceRegistry& devices() {
  // Lives until the process ends: what it hands out may be used by other objects' destructors.
  static DeviceRegistry* const registry = new DeviceRegistry;
  return *registry;
}

}  // namespace quanthost
