// tokenizer_config.json: the names of special tokens, and the chat templates.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace quanthost::text {

struct TokenizerConfig {
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  std::optional<std::string> pad_token;
  std::optional<std::string> unk_token;
  std::map<std::string, std::string> chat_templates;  // by name; the usual one is "default"

  // Reads the file of a model's folder, and chat_template.jinja beside it, which wins. Without
  // files all is empty.
  static TokenizerConfig load(const std::filesystem::path& model_folder);
};

}  // namespace quanthost::text
