#include "host/text/tokenizer_config.hpp"

#include "host/text/json_fields.hpp"
#include "host/text/text_file.hpp"

namespace quanthost::text {
namespace {

namespace fs = std::filesystem;

// A token is a string, or an object that holds it as "content".
std::optional<std::string> read_token(const Fields& config, const char* name) {
  const Json* token = config.find(name);
  if (!token) return std::nullopt;
  return token->is_object() ? config.object(name).string("content") : config.string(name);
}

// One template, or a list of {"name", "template"}.
void read_templates(const Fields& config, std::map<std::string, std::string>& templates) {
  const Json* value = config.find("chat_template");
  if (!value) return;
  if (!value->is_array()) {
    templates["default"] = config.string("chat_template");
    return;
  }
  for (std::size_t i = 0; i < value->size(); ++i) {
    const Fields entry((*value)[i], fmt::format("{}[{}]", config.where("chat_template"), i));
    templates[entry.string("name")] = entry.string("template");
  }
}

}  // namespace

TokenizerConfig TokenizerConfig::load(const fs::path& model_folder) {
  TokenizerConfig config;
  const fs::path path = model_folder / "tokenizer_config.json";
  if (fs::exists(path)) {
    const Json document = parse_json(read_text_file(path), path.string());
    const Fields fields(document, path.string());
    config.bos_token = read_token(fields, "bos_token");
    config.eos_token = read_token(fields, "eos_token");
    config.pad_token = read_token(fields, "pad_token");
    config.unk_token = read_token(fields, "unk_token");
    read_templates(fields, config.chat_templates);
  }
  const fs::path jinja = model_folder / "chat_template.jinja";
  if (fs::exists(jinja)) config.chat_templates["default"] = read_text_file(jinja);
  return config;
}

}  // namespace quanthost::text
