#include "host/checkpoint/checkpoint.hpp"

#include <algorithm>
#include <set>

#include "host/base/atomic_output.hpp"
#include "host/base/error.hpp"
#include "host/checkpoint/checkpoint_index.hpp"
#include "host/checkpoint/model_config.hpp"
#include "host/checkpoint/natural_order.hpp"

namespace quanthost {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexSuffix = ".safetensors.index.json";
constexpr std::string_view kJsonFiles[] = {"config.json", "generation_config.json",
                                           "quantize_config.json", "quant_config.json",
                                           "quanto_qmap.json"};

std::vector<fs::path> files_with_suffix(const fs::path& directory, std::string_view suffix) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().filename().string().ends_with(suffix)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

[[noreturn]] void fail_no_weights(const fs::path& directory) {
  std::string hint =
      "a checkpoint directory holds model.safetensors, or model.safetensors.index.json and its "
      "shards";
  for (const std::string_view suffix : {".bin", ".pt", ".pth"}) {
    if (!files_with_suffix(directory, suffix).empty()) {
      hint =
          "it holds weights as Python pickles, which are not read; save the model with "
          "save_pretrained(..., safe_serialization=True)";
    }
  }
  if (!files_with_suffix(directory, ".gguf").empty()) {
    hint = "it holds a GGUF file; convert it with `quanthost convert FILE.gguf OUT`";
  }
  throw Error(ErrorKind::kOs,
              fmt::format("{}: no safetensors file in this directory", directory.string()), hint);
}

// The file to start from: the standard names first, then a single file or index of another name, as
// GPTQ tools write.
fs::path entry_file(const fs::path& directory) {
  for (const std::string_view name : {kSingleFileName, kIndexFileName}) {
    if (fs::exists(directory / name)) return directory / name;
  }
  const auto indexes = files_with_suffix(directory, kIndexSuffix);
  if (indexes.size() == 1) return indexes.front();
  const auto singles = files_with_suffix(directory, ".safetensors");
  if (singles.size() == 1) return singles.front();
  if (singles.empty() && indexes.empty()) fail_no_weights(directory);
  throw Error(ErrorKind::kOs,
              fmt::format("{}: {} safetensors files and {} indexes, and none of them is {} or {}",
                          directory.string(), singles.size(), indexes.size(), kSingleFileName,
                          kIndexFileName),
              "name the file to open");
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& path) {
  std::error_code error;
  const bool is_directory = fs::is_directory(path, error);
  if (!is_directory && !fs::exists(path, error)) {
    const fs::path aside = interrupted_output(path);
    throw Error(ErrorKind::kOs, fmt::format("{}: no such file or directory", path.string()),
                aside.empty()
                    ? ""
                    : fmt::format("a save was interrupted; the checkpoint before it is {}",
                                  aside.string()));
  }
  Checkpoint checkpoint;
  checkpoint.directory_ = is_directory ? path : path.parent_path();
  const fs::path file = is_directory ? entry_file(path) : path;
  if (file.filename().string().ends_with(".json")) {
    checkpoint.open_index(file);
  } else {
    checkpoint.open_single(file);
  }
  checkpoint.open_json_files();
  checkpoint.index_names();
  return checkpoint;
}

void Checkpoint::open_single(const fs::path& file) {
  add_file(std::make_unique<SafetensorsFile>(SafetensorsFile::open(file)));
  for (const TensorInfo& info : files_.front()->tensors())
    tensors_.emplace_back(*files_.front(), info);
}

void Checkpoint::open_index(const fs::path& file) {
  Json json = parse_json(read_text_file(file), file.string());
  CheckpointIndex index;
  try {
    index = parse_checkpoint_index(json);
  } catch (const Error& e) {
    throw e.within(file.string());
  }
  json_files_.emplace(kIndexFileName, std::move(json));

  std::map<std::string, std::set<std::string>> tensors_of_file;
  for (const auto& [tensor, name] : index.file_of_tensor) tensors_of_file[name].insert(tensor);
  for (const auto& [name, tensors] : tensors_of_file) {
    const fs::path shard = directory_ / name;
    if (!fs::exists(shard)) {
      throw Error(ErrorKind::kOs,
                  fmt::format("{}: the file {} is missing, which holds {} tensors, {} among them",
                              file.string(), name, tensors.size(), *tensors.begin()),
                  "download the missing file, or save the checkpoint again");
    }
    add_file(std::make_unique<SafetensorsFile>(SafetensorsFile::open(shard)));
    for (const std::string& tensor : tensors) {
      if (files_.back()->find(tensor) == nullptr) {
        throw Error(ErrorKind::kKey,
                    fmt::format("{}: tensor {} is said to be in {}, which does not hold it",
                                file.string(), tensor, name),
                    "index and shards are of different checkpoints; download them again");
      }
    }
    for (const TensorInfo& info : files_.back()->tensors()) {
      if (tensors.contains(info.name)) tensors_.emplace_back(*files_.back(), info);
    }
  }
}

void Checkpoint::open_json_files() {
  for (const std::string_view name : kJsonFiles) {
    const fs::path file = directory_ / name;
    if (!fs::exists(file)) continue;
    Json json = parse_json(read_text_file(file), file.string());
    if (!json.is_object()) fail(ErrorKind::kValue, "{}: must hold a JSON object", file.string());
    json_files_.emplace(name, std::move(json));
  }
}

void Checkpoint::add_file(std::unique_ptr<SafetensorsFile> file) {
  metadata_.insert(file->metadata().begin(), file->metadata().end());
  files_.push_back(std::move(file));
}

void Checkpoint::index_names() {
  for (std::size_t i = 0; i < tensors_.size(); ++i) by_name_.emplace(tensors_[i].name(), i);
}

std::vector<StoredTensor> Checkpoint::tensors_by_name() const {
  std::vector<StoredTensor> sorted = tensors_;
  std::sort(sorted.begin(), sorted.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return natural_less(a.name(), b.name());
  });
  return sorted;
}

const StoredTensor* Checkpoint::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

const StoredTensor& Checkpoint::at(std::string_view name) const {
  if (const StoredTensor* tensor = find(name)) return *tensor;
  const auto last_part = name.substr(name.rfind('.') + 1);
  const auto same_ending =
      std::find_if(tensors_.begin(), tensors_.end(),
                   [&](const StoredTensor& t) { return t.name().ends_with(last_part); });
  throw Error(ErrorKind::kKey,
              fmt::format("{}: no tensor {} among {}", directory_.string(), name, tensors_.size()),
              same_ending == tensors_.end()
                  ? ""
                  : fmt::format("there is, for one, {}", same_ending->name()));
}

std::uint64_t Checkpoint::total_bytes() const {
  std::uint64_t total = 0;
  for (const StoredTensor& tensor : tensors_) total += tensor.bytes();
  return total;
}

std::uint64_t Checkpoint::total_elements() const {
  std::uint64_t total = 0;
  for (const StoredTensor& tensor : tensors_) total += tensor.elements();
  return total;
}

const Json* Checkpoint::json_file(std::string_view name) const {
  const auto found = json_files_.find(name);
  return found == json_files_.end() ? nullptr : &found->second;
}

const Json* Checkpoint::quantization_config() const {
  if (const Json* json = config()) {
    const auto entry = json->find("quantization_config");
    if (entry != json->end() && entry->is_object()) return &*entry;
  }
  if (const Json* json = json_file("quantize_config.json")) return json;
  return json_file("quant_config.json");
}

std::optional<Dtype> Checkpoint::config_dtype() const {
  if (config() == nullptr) return std::nullopt;
  try {
    return dtype_of_config(*config());
  } catch (const Error& e) {
    throw e.within((directory_ / "config.json").string());
  }
}

}  // namespace quanthost
