// A Hugging Face checkpoint: one safetensors file or a directory of shards, with the JSON files
// beside it.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "host/base/json.hpp"
#include "host/checkpoint/safetensors_file.hpp"

namespace quanthost {

inline constexpr std::string_view kSingleFileName = "model.safetensors";
inline constexpr std::string_view kIndexFileName = "model.safetensors.index.json";

// A tensor and the file that holds it. Valid as long as the Checkpoint it came from.
class StoredTensor {
 public:
  StoredTensor(const SafetensorsFile& file, const TensorInfo& info) : file_(&file), info_(&info) {}

  const std::string& name() const { return info_->name; }
  Dtype dtype() const { return info_->dtype; }
  const Shape& shape() const { return info_->shape; }
  std::uint64_t bytes() const { return info_->bytes(); }
  std::uint64_t elements() const { return info_->elements(); }
  const SafetensorsFile& file() const { return *file_; }
  const TensorInfo& info() const { return *info_; }

  // See SafetensorsFile for what these promise.
  std::span<const std::byte> view() const { return file_->view(*info_); }
  void read(std::span<std::byte> out, std::uint64_t offset = 0) const {
    file_->read(*info_, out, offset);
  }
  void will_need() const { file_->will_need(*info_); }
  void done_with() const { file_->done_with(*info_); }

 private:
  const SafetensorsFile* file_;
  const TensorInfo* info_;
};

// Immutable after open(): any thread may read.
class Checkpoint {
 public:
  // `path` is a directory, a safetensors file, or an index file. Opens every file that the index
  // names and checks that each tensor of its weight_map is where it says; tensors that a shard
  // holds beyond the weight_map are not part of the checkpoint, as for transformers. Throws Error
  // that names file and tensor.
  static Checkpoint open(const std::filesystem::path& path);

  const std::filesystem::path& directory() const { return directory_; }
  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return files_; }

  // File by file, in the order of their bytes: the order to stream in.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  // By name with numbers compared as numbers, so layers.2 comes before layers.10: the order to
  // show.
  std::vector<StoredTensor> tensors_by_name() const;
  const StoredTensor* find(std::string_view name) const;  // null when there is none
  const StoredTensor& at(
      std::string_view name) const;  // throws Error(kKey) that names a similar tensor
  std::uint64_t total_bytes() const;
  std::uint64_t total_elements() const;
  // That of the files together; where two disagree, the first file's value.
  const Metadata& metadata() const { return metadata_; }

  // The JSON files that lie beside the tensors, or null: config.json, generation_config.json,
  // quantize_config.json, quant_config.json, quanto_qmap.json, the index.
  const Json* json_file(std::string_view name) const;
  const Json* config() const { return json_file("config.json"); }
  const Json* generation_config() const { return json_file("generation_config.json"); }
  const Json* quanto_qmap() const { return json_file("quanto_qmap.json"); }
  // config.json's entry, else quantize_config.json or quant_config.json, as GPTQ and AWQ tools
  // leave them.
  const Json* quantization_config() const;
  // config.json's "dtype", or the older "torch_dtype" where that is missing; nothing when there is
  // neither.
  std::optional<Dtype> config_dtype() const;

 private:
  Checkpoint() = default;
  void open_single(const std::filesystem::path& file);
  void open_index(const std::filesystem::path& file);
  void open_json_files();
  void add_file(std::unique_ptr<SafetensorsFile> file);
  void index_names();

  std::filesystem::path directory_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string_view, std::size_t, std::less<>> by_name_;
  Metadata metadata_;
  std::map<std::string, Json, std::less<>> json_files_;
};

}  // namespace quanthost
