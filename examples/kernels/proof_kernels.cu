// The table that each of the three libraries exports: every function catches what its kernel's
// launch may throw.
#include <cstdio>
#include <exception>

#include "kernels.hpp"
#include "proof_kernels.h"
#include "quanthost/kernel.hpp"

namespace gpu = quanthost::gpu;

namespace {

template <class Work>
std::int32_t guarded(const proof_call* call, Work work) {
  try {
    work(gpu::Stream{call->stream});
    return 0;
  } catch (const std::exception& e) {
    std::snprintf(call->error, call->error_bytes, "%s", e.what());
  } catch (...) {
    std::snprintf(call->error, call->error_bytes, "an unknown exception");
  }
  return 1;
}

std::int32_t probe(const proof_call* call) {
  return guarded(call, [&](gpu::Stream) {
    const std::string reason = gpu::why_unavailable();
    if (!reason.empty()) throw gpu::Error(reason);
  });
}
std::int32_t allocate(const proof_call* call, std::size_t bytes, void** memory) {
  return guarded(call, [&](gpu::Stream) { *memory = gpu::allocate(bytes); });
}
void release(void* memory) { gpu::deallocate(memory); }
std::int32_t upload(const proof_call* call, void* device, const void* host, std::size_t bytes) {
  return guarded(call, [&](gpu::Stream stream) {
    gpu::copy_to_device(stream, device, host, bytes);
    gpu::synchronize(stream);
  });
}
std::int32_t download(const proof_call* call, void* host, const void* device, std::size_t bytes) {
  return guarded(call, [&](gpu::Stream stream) {
    gpu::copy_to_host(stream, host, device, bytes);
    gpu::synchronize(stream);
  });
}

// A table entry that runs one of the launch functions of kernels.hpp.
template <auto Launch, class... Arguments>
std::int32_t entry(const proof_call* call, Arguments... arguments) {
  return guarded(call, [&](gpu::Stream stream) { Launch(stream, arguments...); });
}

const proof_kernels kTable = {sizeof(proof_kernels),
                              0,
                              gpu::kTargetName,
                              probe,
                              allocate,
                              release,
                              upload,
                              download,
                              entry<proof::vector_add>,
                              entry<proof::block_absmax>,
                              entry<proof::matmul_bf16>,
                              entry<proof::histogram>,
                              entry<proof::tile_sums>};

}  // namespace

const proof_kernels* proof_kernels_table(void) { return &kTable; }
