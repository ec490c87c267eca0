// Writes the tensors of a checkpoint directory: model.safetensors, or shards with their index.
#pragma once

#include <memory>
#include <optional>

#include "host/base/json.hpp"
#include "host/checkpoint/safetensors_writer.hpp"

namespace quanthost {

struct CheckpointWriterOptions {
  std::uint64_t max_shard_bytes = 50'000'000'000;  // transformers' default
  Metadata metadata = {
      {"format", "pt"}};  // of every file; transformers 4 refuses files without a format
  std::optional<std::uint64_t>
      total_parameters;  // for the index; the tensors' elements when it is not given
};

// Which tensors go together, in the order given: as huggingface_hub splits a state dict. A tensor
// larger than `max_shard_bytes` has a shard of its own.
std::vector<std::vector<TensorDeclaration>> split_into_shards(
    std::vector<TensorDeclaration> tensors, std::uint64_t max_shard_bytes);

// Same rules for calls and threads as SafetensorsWriter. Only files of tensors are written, and the
// index.
class CheckpointWriter {
 public:
  CheckpointWriter(const std::filesystem::path& directory, std::vector<TensorDeclaration> tensors,
                   const CheckpointWriterOptions& options = {});

  // All tensors, shard by shard in the order of their bytes: writing in this order is the fastest.
  std::vector<TensorInfo> tensors() const;
  void write(std::string_view name, std::span<const std::byte> data) {
    shard_of(name).write(name, data);
  }
  void write_part(std::string_view name, std::uint64_t offset, std::span<const std::byte> data) {
    shard_of(name).write_part(name, offset, data);
  }
  void finish();

 private:
  SafetensorsWriter& shard_of(std::string_view name) const;
  void write_index() const;

  std::filesystem::path directory_;
  std::vector<std::unique_ptr<SafetensorsWriter>> shards_;
  std::map<std::string, std::size_t, std::less<>> shard_by_tensor_;
  std::optional<std::uint64_t> total_parameters_;
};

// JSON as Python's json.dumps(indent=2) lays it out, with a newline at the end, flushed to the
// disk. Text that is not UTF-8 is an Error.
void write_json_file(const std::filesystem::path& path, const Json& json);

}  // namespace quanthost
