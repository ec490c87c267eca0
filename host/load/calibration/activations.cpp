#include "host/load/calibration/activations.hpp"

#include <unistd.h>

#include <random>

#include "host/base/error.hpp"
#include "host/load/host_memory.hpp"

namespace quanthost {
namespace {

File nameless_file(const std::filesystem::path& folder, std::uint64_t bytes) {
  std::filesystem::create_directories(folder);
  std::random_device random;
  const auto path = folder / fmt::format(".quanthost-activations-{}-{:08x}", getpid(), random());
  File file = File::create(path);
  std::filesystem::remove(path);
  file.reserve(bytes);
  return file;
}

}  // namespace

Activations::Activations(std::vector<std::uint64_t> row_bytes, std::uint64_t budget,
                         const std::filesystem::path& folder)
    : rows_(row_bytes.size()) {
  for (std::size_t i = 0; i < row_bytes.size(); ++i) {
    if (bytes_on_disk_ == 0 && bytes_in_memory_ + row_bytes[i] <= budget) {
      bytes_in_memory_ += row_bytes[i];
      continue;
    }
    rows_[i].offset = bytes_on_disk_;
    bytes_on_disk_ += row_bytes[i];
  }
  if (bytes_on_disk_ > 0) file_ = nameless_file(folder, bytes_on_disk_);
}

void Activations::put(std::size_t row, const at::Tensor& hidden) {
  const at::Tensor value = hidden.cpu().contiguous();
  Row& place = rows_[row];
  if (!place.offset) {
    place.value = value;
    return;
  }
  place.shape = value.sizes().vec();
  place.type = value.scalar_type();
  file_->write_at(*place.offset,
                  {static_cast<const std::byte*>(value.const_data_ptr()), value.nbytes()});
}

at::Tensor Activations::get(std::size_t row) const {
  const Row& place = rows_[row];
  if (!place.offset) return place.value;
  at::Tensor value = empty_host_tensor(place.shape, place.type);
  file_->read_at(*place.offset, {static_cast<std::byte*>(value.data_ptr()), value.nbytes()});
  return value;
}

}  // namespace quanthost
