#include "host/load/tokenizer_cache.hpp"

#include "host/base/error.hpp"
#include "host/base/file.hpp"

namespace quanthost {
namespace {

namespace fs = std::filesystem;

fs::path existing(const std::string& named, const fs::path& model_directory) {
  if (named.empty()) {
    if (!model_directory.empty()) return model_directory;
    throw Error(ErrorKind::kValue, "the model was not loaded from a directory with a tokenizer",
                "name a directory that holds tokenizer.json");
  }
  std::error_code error;
  fs::path path = fs::canonical(named, error);
  if (!error) return path;
  throw Error(
      ErrorKind::kValue,
      fmt::format("tokenizer {:?}: there is no such directory or file (looked in {})", named,
                  fs::current_path().string()),
      "give a directory that holds tokenizer.json, or leave it out for the model's own; nothing is "
      "downloaded by name");
}

text::Tokenizer read(const fs::path& path) {
  if (fs::is_directory(path)) return text::Tokenizer::load(path);
  return text::Tokenizer::from_json(read_text_file(path), path.string());
}

}  // namespace

text::Tokenizer TokenizerCache::get(const std::string& named) {
  const fs::path path = existing(named, model_directory_);
  std::lock_guard lock(mutex_);
  const auto found = by_path_.find(path);
  if (found != by_path_.end()) return found->second;
  return by_path_.emplace(path, read(path)).first->second;
}

}  // namespace quanthost
