// The `bitsandbytes` kernels of each kind of device that a session can use.
#ifndef QUANTHOST_PLUGINS_BNB4_QUANTIZER_KERNEL_SET_HPP
#define QUANTHOST_PLUGINS_BNB4_QUANTIZER_KERNEL_SET_HPP

#include <quanthost/packages/bnb4_kernels.h>

#include <optional>
#include <quanthost/plugin.hpp>
#include <quanthost/plugin/kernel_packages.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace quanthost::bnb4 {

struct Kernels {
  std::string device_kind;
  qh_bnb4_kernels table;
  qh_package* package;
};

class KernelSet {
 public:
  // Asks for the package's table for each kind among `devices`; a kind that has none is left out.
  // Throws when a provider leaves out functions that this plugin needs. [load thread]
  void add(const qh::Host& host, qh_session* session, const std::vector<std::string>& devices);
  bool empty() const { return kernels_.empty(); }
  bool has(std::string_view device_kind) const { return find(device_kind) != nullptr; }
  // Throws when this kind of device has no kernels. [any thread] once everything is added
  const Kernels& need(std::string_view device_kind) const;

 private:
  const Kernels* find(std::string_view device_kind) const;

  std::optional<qh::KernelPackages<qh_bnb4_kernels>> packages_;
  std::vector<Kernels> kernels_;
};

// "cuda" of "cuda:0".
std::string_view kind_of(std::string_view device);

}  // namespace quanthost::bnb4

#endif
