#include "host/checkpoint/check.hpp"

#include <algorithm>
#include <memory>
#include <set>

#include "host/base/error.hpp"
#include "host/checkpoint/check_values.hpp"
#include "host/checkpoint/checkpoint.hpp"
#include "host/checkpoint/checkpoint_index.hpp"

namespace quanthost {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kChunkBytes = 8 << 20;

class Checker {
 public:
  Checker(const fs::path& path, const ByteProgress& progress) : progress_(progress) {
    if (!fs::exists(path)) fail(ErrorKind::kOs, "{}: no such file or directory", path.string());
    directory_ = fs::is_directory(path) ? path : path.parent_path();
    if (!fs::is_directory(path)) only_ = path.filename().string();
  }

  CheckReport run() && {
    check_whole();
    const auto index = read_index();
    open_files(index);
    if (index) check_index(*index);
    check_json_files();
    check_config();
    check_values();
    return std::move(report_);
  }

 private:
  void add(Severity severity, std::string file, std::string tensor, std::string message) {
    report_.findings.push_back({severity, std::move(file), std::move(tensor), std::move(message)});
  }

  // What loading says, which is the first finding and the one that matters most.
  void check_whole() {
    try {
      Checkpoint::open(only_.empty() ? directory_ : directory_ / only_);
    } catch (const Error& e) {
      add(Severity::kError, only_, "", e.what());
    }
  }

  std::optional<CheckpointIndex> read_index() {
    const fs::path file = directory_ / kIndexFileName;
    if (!fs::exists(file) || (!only_.empty() && only_ != kIndexFileName)) return std::nullopt;
    try {
      const Json json = parse_json(read_text_file(file), file.string());
      const CheckpointIndex index = parse_checkpoint_index(json);
      const auto metadata = json.find("metadata");
      if (metadata != json.end() && metadata->is_object()) {
        const auto size = metadata->find("total_size");
        if (size != metadata->end() && size->is_number_unsigned())
          index_bytes_ = size->get<std::uint64_t>();
      }
      return index;
    } catch (const Error&) {
      return std::nullopt;  // found by check_whole
    }
  }

  // Every safetensors file of the directory, named by the index or not.
  void open_files(const std::optional<CheckpointIndex>& index) {
    std::set<std::string> names;
    if (!only_.empty() && only_ != kIndexFileName) {
      names.insert(only_);
    } else {
      for (const auto& entry : fs::directory_iterator(directory_)) {
        if (entry.path().extension() == ".safetensors")
          names.insert(entry.path().filename().string());
      }
    }
    if (index) {
      for (const auto& [tensor, file] : index->file_of_tensor) names.insert(file);
    }
    for (const std::string& name : names) open_file(name);
  }

  void open_file(const std::string& name) {
    try {
      files_.emplace(name,
                     std::make_unique<SafetensorsFile>(SafetensorsFile::open(directory_ / name)));
      ++report_.files;
    } catch (const Error& e) {
      const bool is_known = std::any_of(report_.findings.begin(), report_.findings.end(),
                                        [&](const Finding& f) { return f.message == e.what(); });
      if (!is_known) add(Severity::kError, name, "", e.what());
    }
  }

  void check_index(const CheckpointIndex& index) {
    std::uint64_t bytes = 0;
    for (const auto& [tensor, name] : index.file_of_tensor) {
      const auto file = files_.find(name);
      const TensorInfo* info = file == files_.end() ? nullptr : file->second->find(tensor);
      if (info != nullptr) {
        bytes += info->bytes();
      } else {
        add(Severity::kError, name, tensor, "the index names it, but the file does not hold it");
      }
    }
    for (const auto& [name, file] : files_) {
      for (const TensorInfo& tensor : file->tensors()) {
        const auto entry = index.file_of_tensor.find(tensor.name);
        if (entry == index.file_of_tensor.end()) {
          add(Severity::kWarning, name, tensor.name, "is not in the index, so it is not loaded");
        } else if (entry->second != name) {
          add(Severity::kWarning, name, tensor.name,
              fmt::format("is also in {}, which is the one loaded", entry->second));
        }
      }
    }
    if (index_bytes_ && *index_bytes_ != bytes) {
      add(Severity::kWarning, std::string(kIndexFileName), "",
          fmt::format("total_size is {}, the tensors have {} bytes", *index_bytes_, bytes));
    }
  }

  // Files that Checkpoint does not read, but a model needs.
  void check_json_files() {
    if (!only_.empty()) return;
    for (const char* name :
         {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}) {
      const fs::path file = directory_ / name;
      if (!fs::exists(file)) continue;
      try {
        parse_json(read_text_file(file), file.string());
      } catch (const Error& e) {
        add(Severity::kError, name, "", e.what());
      }
    }
    if (!fs::exists(directory_ / "config.json")) {
      add(Severity::kWarning, "config.json", "",
          "is missing: the model's architecture is not known");
      return;
    }
    try {
      config_ = parse_json(read_text_file(directory_ / "config.json"), "config.json");
    } catch (const Error&) {  // found by check_whole
    }
  }

  const TensorInfo* find(std::string_view suffix) const {
    for (const auto& [name, file] : files_) {
      for (const TensorInfo& tensor : file->tensors()) {
        if (tensor.name.ends_with(suffix)) return &tensor;
      }
    }
    return nullptr;
  }

  void check_config() {
    if (!config_.is_object()) return;
    const TensorInfo* embedding = find("embed_tokens.weight");
    const auto vocabulary = config_.find("vocab_size");
    if (embedding != nullptr && !embedding->shape.empty() && vocabulary != config_.end() &&
        vocabulary->is_number_integer() && vocabulary->get<std::int64_t>() != embedding->shape[0]) {
      add(Severity::kError, "config.json", embedding->name,
          fmt::format("vocab_size is {}, the tensor has {} rows", vocabulary->dump(),
                      embedding->shape[0]));
    }
    const auto tied = config_.find("tie_word_embeddings");
    if (embedding != nullptr && tied != config_.end() && *tied == false &&
        find("lm_head.weight") == nullptr && find("lm_head.qweight") == nullptr &&
        find("lm_head.weight._data") == nullptr) {
      add(Severity::kWarning, "config.json", "lm_head.weight",
          "tie_word_embeddings is false, but it is not stored");
    }
    const auto layers = config_.find("num_hidden_layers");
    if (layers == config_.end() || !layers->is_number_integer()) return;
    const std::string last = fmt::format("layers.{}.", layers->get<std::int64_t>() - 1);
    const std::string beyond = fmt::format("layers.{}.", layers->get<std::int64_t>());
    if (holds(".layers.0.") && !holds("." + last)) {
      add(Severity::kError, "config.json", last,
          fmt::format("num_hidden_layers is {}, but this one is not stored", layers->dump()));
    }
    if (holds("." + beyond)) {
      add(Severity::kWarning, "config.json", beyond,
          fmt::format("num_hidden_layers is {}, so this one is not used", layers->dump()));
    }
  }

  bool holds(std::string_view part) const {
    return std::any_of(files_.begin(), files_.end(), [&](const auto& entry) {
      const auto& tensors = entry.second->tensors();
      return std::any_of(tensors.begin(), tensors.end(), [&](const TensorInfo& tensor) {
        return tensor.name.find(part) != std::string::npos;
      });
    });
  }

  void check_values() {
    std::uint64_t total = 0;
    for (const auto& [name, file] : files_) {
      for (const TensorInfo& tensor : file->tensors()) total += tensor.bytes();
    }
    report(progress_, 0, total);
    for (const auto& [name, file] : files_) {
      for (const TensorInfo& tensor : file->tensors()) check_tensor(name, *file, tensor, total);
    }
  }

  void check_tensor(const std::string& name, const SafetensorsFile& file, const TensorInfo& tensor,
                    std::uint64_t total) {
    ValueCounts counts;
    for (std::uint64_t offset = 0; offset < tensor.bytes(); offset += buffer_.size()) {
      buffer_.resize(std::min(kChunkBytes, tensor.bytes() - offset));
      try {
        file.read(tensor, buffer_, offset);
      } catch (const Error& e) {
        add(Severity::kError, name, tensor.name, e.what());
        break;
      }
      count_values(tensor.dtype, buffer_, counts);
      report_.bytes += buffer_.size();
      report(progress_, report_.bytes, total);
    }
    ++report_.tensors;
    if (counts.nan != 0)
      add(Severity::kError, name, tensor.name, fmt::format("{} of its values are NaN", counts.nan));
    if (counts.infinite != 0) {
      add(Severity::kError, name, tensor.name,
          fmt::format("{} of its values are infinite", counts.infinite));
    }
    if (counts.not_boolean != 0) {
      add(Severity::kError, name, tensor.name,
          fmt::format("{} of its bytes are neither 0 nor 1", counts.not_boolean));
    }
  }

  const ByteProgress& progress_;
  fs::path directory_;
  std::string only_;  // the file that was asked for, where it was one
  std::map<std::string, std::unique_ptr<SafetensorsFile>> files_;
  std::optional<std::uint64_t> index_bytes_;
  Json config_;
  std::vector<std::byte> buffer_;
  CheckReport report_;
};

}  // namespace

bool CheckReport::sound() const {
  return std::none_of(findings.begin(), findings.end(),
                      [](const Finding& finding) { return finding.severity == Severity::kError; });
}

CheckReport check_checkpoint(const fs::path& path, const ByteProgress& progress) {
  return Checker(path, progress).run();
}

}  // namespace quanthost
