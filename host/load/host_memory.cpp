#include "host/load/host_memory.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "host/base/error.hpp"

namespace quanthost {

at::Tensor empty_host_tensor(at::IntArrayRef shape, at::ScalarType type) {
  const std::size_t bytes =
      static_cast<std::size_t>(c10::multiply_integers(shape)) * c10::elementSize(type);
  const auto options = at::TensorOptions().dtype(type);
  if (bytes < kLargeTensorBytes) return at::empty(shape, options);
  const std::size_t mapped = rounded_up(bytes, kPageBytes);
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw Error(ErrorKind::kMemory,
                fmt::format("no memory for {} bytes: {}", bytes, std::strerror(errno)),
                "use a smaller model, offload to disk with --device-map, or close other programs");
  }
  madvise(memory, mapped, MADV_HUGEPAGE);  // a kernel without huge pages only loses speed
  return at::from_blob(
      memory, shape, [mapped](void* data) { munmap(data, mapped); }, options);
}

}  // namespace quanthost
