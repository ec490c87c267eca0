// The plugin around the kernels: one package for the kind of device the library is built for. Plain
// C++, compiled once for each of the three libraries.
#include <quanthost/plugin.hpp>

#include "proof_kernels.h"

namespace {

// Asked for when a host wants to use the package: the first touch of the device.
const void* working_table(const qh::Host&, qh_package**) {
  char error[512] = {};
  const proof_call call = {nullptr, error, sizeof error};
  const proof_kernels* table = proof_kernels_table();
  if (table->probe(&call) != 0) throw qh::Error(QH_ERR_RUNTIME, error);
  return table;
}

class ProofKernels final : public qh::Plugin {
 public:
  using qh::Plugin::Plugin;

  std::vector<qh::PackageEntry> packages() const override {
    return {{"proof-kernels", QH_PLUGIN_VERSION, QH_KERNEL_TARGET, "org.example.proof-kernels/1",
             working_table}};
  }
};

}  // namespace

QH_PLUGIN(ProofKernels)
