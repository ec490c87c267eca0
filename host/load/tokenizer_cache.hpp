// The tokenizers that a model's plugins ask for: each read once.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>

#include "host/text/tokenizer.hpp"

namespace quanthost {

// Any thread.
class TokenizerCache {
 public:
  // `model_directory` is where the model's own tokenizer lies; empty: it has none.
  explicit TokenizerCache(std::filesystem::path model_directory)
      : model_directory_(std::move(model_directory)) {}

  // `named`: a directory or a tokenizer.json; empty: the model's own. A relative path starts at the
  // current directory. Throws kValue for a name that is no path, such as a model id of a hub.
  text::Tokenizer get(const std::string& named);

 private:
  const std::filesystem::path model_directory_;
  std::mutex mutex_;
  std::map<std::filesystem::path, text::Tokenizer> by_path_;
};

}  // namespace quanthost
