#include "host/load/spool.hpp"

#include <ATen/ops/from_blob.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "host/load/host_memory.hpp"
#include "host/load/offload.hpp"

namespace quanthost {
namespace {

constexpr std::uint64_t kAlignment = 64;  // of a tensor within its mapping

File nameless_file(std::filesystem::path directory) {
  while (!directory.empty() && !std::filesystem::is_directory(directory))
    directory = directory.parent_path();
  if (directory.empty()) directory = ".";
  std::string name = (directory / ".quanthost-spool-XXXXXX").string();
  const int made = ::mkstemp(name.data());
  if (made < 0) fail_errno(directory, "create a temporary file", errno);
  ::close(made);
  File file = File::create(name);
  ::unlink(name.c_str());
  return file;
}

// A stretch of the file in memory, shared by the tensors that lie in it.
std::shared_ptr<std::byte> mapped(const File& file, std::uint64_t offset, std::uint64_t bytes) {
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE,
                              file.descriptor(), static_cast<off_t>(offset));
  if (memory == MAP_FAILED) fail_errno(file.path(), "map a temporary file into memory", errno);
  return {static_cast<std::byte*>(memory), [bytes](std::byte* data) { ::munmap(data, bytes); }};
}

}  // namespace

Spool::Spool(const std::filesystem::path& directory) : file_(nameless_file(directory)) {}

NamedTensors Spool::keep(const NamedTensors& tensors) {
  std::vector<std::uint64_t> offsets;
  std::uint64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    offsets.push_back(bytes);
    bytes = rounded_up(bytes + tensor.nbytes(), kAlignment);
  }
  if (bytes == 0) return tensors;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const at::Tensor plain = tensors[i].second.contiguous();
    file_.write_at(end_ + offsets[i],
                   {static_cast<const std::byte*>(plain.const_data_ptr()), plain.nbytes()});
  }
  const std::uint64_t whole = rounded_up(bytes, kPageBytes);
  // Nobody may look at pages behind the end of a file.
  if (::ftruncate(file_.descriptor(), static_cast<off_t>(end_ + whole)) != 0)
    fail_errno(file_.path(), "extend a temporary file", errno);
  const std::shared_ptr<std::byte> memory = mapped(file_, end_, whole);
  end_ += whole;
  note(memory.get(), whole);
  NamedTensors out;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    out.emplace_back(name, at::from_blob(
                               memory.get() + offsets[i], tensor.sizes(), [memory](void*) {},
                               at::TensorOptions().dtype(tensor.scalar_type())));
  }
  return out;
}

void Spool::keep_module(PluginModule& module) {
  for (auto& [name, tensor] : keep(module.state_tensors()))
    module.set_param(name, std::move(tensor));
}

at::Tensor Spool::leave_in_checkpoint(const StoredTensor& stored) {
  at::Tensor view = tensor_in_file(stored);
  note(view.const_data_ptr(), view.nbytes());
  return view;
}

void Spool::note(const void* data, std::uint64_t bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  ranges_[begin] = begin + bytes;
}

void Spool::done_with(const at::Tensor& tensor) const {
  const auto begin = reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr());
  const std::uintptr_t end = begin + tensor.nbytes();
  auto range = ranges_.upper_bound(begin);
  if (range == ranges_.begin()) return;
  --range;
  if (end > range->second) return;
  // Whole pages that hold nothing else; the rest leaves with its neighbours.
  const std::uintptr_t first = rounded_up(begin, kPageBytes), last = end / kPageBytes * kPageBytes;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): rounded from a pointer above
  if (last > first) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace quanthost
