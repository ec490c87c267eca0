#include "host/checkpoint/companion_files.hpp"

#include "host/base/file.hpp"

namespace quanthost {
namespace {

constexpr const char* kCompanions[] = {"generation_config.json",
                                       "tokenizer.json",
                                       "tokenizer_config.json",
                                       "tokenizer.model",
                                       "special_tokens_map.json",
                                       "added_tokens.json",
                                       "vocab.json",
                                       "vocab.txt",
                                       "merges.txt",
                                       "spiece.model",
                                       "chat_template.jinja",
                                       "chat_template.json",
                                       "preprocessor_config.json",
                                       "processor_config.json"};

}  // namespace

std::vector<std::string> copy_companion_files(const std::filesystem::path& from,
                                              const std::filesystem::path& to) {
  std::vector<std::string> copied;
  for (const char* name : kCompanions) {
    if (!std::filesystem::exists(from / name)) continue;
    write_text_file(to / name, read_text_file(from / name));
    copied.emplace_back(name);
  }
  return copied;
}

}  // namespace quanthost
