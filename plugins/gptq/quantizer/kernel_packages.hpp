// The `auto_gptq` packages of one session: a function table for each kind of device.
#pragma once

#include <quanthost/packages/gptq_kernels.h>

#include <map>
#include <mutex>
#include <quanthost/plugin/host.hpp>
#include <string>

namespace quanthost::gptq {

struct KernelPackage {
  qh_gptq_kernels table;
  qh_package* self;
};

class KernelPackages {
 public:
  KernelPackages(const qh::Host& host, qh_session* session) : host_(host), session_(session) {}

  // The package for this kind of device, or the reason why there is none. The first call for a kind
  // asks the host and belongs on the load thread; later ones answer on any thread.
  const KernelPackage& for_device(std::string_view kind);

 private:
  qh::Host host_;
  qh_session* session_;
  std::mutex lock_;
  std::map<std::string, KernelPackage, std::less<>> packages_;
};

}  // namespace quanthost::gptq
