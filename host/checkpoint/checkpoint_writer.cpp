#include "host/checkpoint/checkpoint_writer.hpp"

#include "host/base/error.hpp"
#include "host/checkpoint/checkpoint.hpp"

namespace quanthost {

std::vector<std::vector<TensorDeclaration>> split_into_shards(
    std::vector<TensorDeclaration> tensors, std::uint64_t max_shard_bytes) {
  std::vector<std::vector<TensorDeclaration>> shards;
  std::vector<TensorDeclaration> current;
  std::uint64_t current_bytes = 0;
  for (TensorDeclaration& tensor : tensors) {
    const std::uint64_t bytes = storage_bytes(tensor.dtype, tensor.shape);
    if (bytes > max_shard_bytes) {
      shards.push_back({std::move(tensor)});
      continue;
    }
    if (current_bytes + bytes > max_shard_bytes) {
      shards.push_back(std::exchange(current, {}));
      current_bytes = 0;
    }
    current.push_back(std::move(tensor));
    current_bytes += bytes;
  }
  if (!current.empty() || shards.empty()) shards.push_back(std::move(current));
  return shards;
}

CheckpointWriter::CheckpointWriter(const std::filesystem::path& directory,
                                   std::vector<TensorDeclaration> tensors,
                                   const CheckpointWriterOptions& options)
    : directory_(directory), total_parameters_(options.total_parameters) {
  auto shards = split_into_shards(std::move(tensors), options.max_shard_bytes);
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string name =
        shards.size() == 1 ? std::string(kSingleFileName)
                           : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    for (const TensorDeclaration& tensor : shards[i]) {
      if (!shard_by_tensor_.emplace(tensor.name, i).second) {
        fail(ErrorKind::kValue, "{}: tensor {}: the name is used twice", directory.string(),
             tensor.name);
      }
    }
    shards_.push_back(std::make_unique<SafetensorsWriter>(directory / name, std::move(shards[i]),
                                                          options.metadata));
  }
}

std::vector<TensorInfo> CheckpointWriter::tensors() const {
  std::vector<TensorInfo> all;
  for (const auto& shard : shards_)
    all.insert(all.end(), shard->tensors().begin(), shard->tensors().end());
  return all;
}

SafetensorsWriter& CheckpointWriter::shard_of(std::string_view name) const {
  const auto found = shard_by_tensor_.find(name);
  if (found == shard_by_tensor_.end()) {
    fail(ErrorKind::kKey, "{}: tensor {} was not declared before writing", directory_.string(),
         name);
  }
  return *shards_[found->second];
}

void CheckpointWriter::finish() {
  for (const auto& shard : shards_) shard->finish();
  if (shards_.size() > 1) write_index();
}

void CheckpointWriter::write_index() const {
  std::uint64_t total_bytes = 0;
  std::uint64_t total_elements = 0;
  for (const TensorInfo& tensor : tensors()) {
    total_bytes += tensor.bytes();
    total_elements += tensor.elements();
  }
  Json weight_map = Json::object();
  for (const auto& [tensor, shard] : shard_by_tensor_)
    weight_map[tensor] = shards_[shard]->path().filename().string();
  write_json_file(directory_ / kIndexFileName,
                  {{"metadata",
                    {{"total_parameters", total_parameters_.value_or(total_elements)},
                     {"total_size", total_bytes}}},
                   {"weight_map", std::move(weight_map)}});
}

void write_json_file(const std::filesystem::path& path, const Json& json) {
  std::string text;
  try {
    text = json.dump(2) + "\n";
  } catch (const Json::exception& e) {
    fail(ErrorKind::kValue, "{}: {}", path.string(), e.what());
  }
  write_text_file(path, text);
}

}  // namespace quanthost
