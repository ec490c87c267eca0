#include "host/text/chat_template.hpp"

#include "host/text/jinja/interpreter.hpp"
#include "host/text/jinja/syntax_tree.hpp"
#include "host/text/utf8.hpp"

namespace quanthost::text {

struct ChatTemplate::Parsed {
  std::string where;
  jinja::Block block;
  jinja::Dict special_tokens;
};

ChatTemplate ChatTemplate::load(const std::filesystem::path& model_folder,
                                const std::string& name) {
  const TokenizerConfig config = TokenizerConfig::load(model_folder);
  const std::string where = fmt::format("{}: chat template \"{}\"", model_folder.string(), name);
  const auto found = config.chat_templates.find(name);
  if (found == config.chat_templates.end()) {
    throw Error(ErrorKind::kValue, where + ": there is none",
                "this model may not be made for conversations: give it plain text, or put a "
                "chat_template.jinja into its "
                "folder");
  }
  return ChatTemplate(found->second, config, where);
}

ChatTemplate::ChatTemplate(const std::string& source, const TokenizerConfig& config,
                           std::string where) {
  auto parsed = std::make_shared<Parsed>();
  parsed->where = std::move(where);
  try {
    require_utf8(source);
    parsed->block = jinja::parse(source);
  } catch (const Error& error) {
    throw error.within(parsed->where);
  }
  const auto add = [&](const char* name, const std::optional<std::string>& token) {
    if (token) parsed->special_tokens.set(name, *token);
  };
  add("bos_token", config.bos_token);
  add("eos_token", config.eos_token);
  add("pad_token", config.pad_token);
  add("unk_token", config.unk_token);
  parsed_ = std::move(parsed);
}

std::string ChatTemplate::render(std::span<const ChatMessage> messages,
                                 GenerationPrompt prompt) const {
  OrderedJson list = OrderedJson::array();
  for (const ChatMessage& message : messages) {
    require_utf8(message.content);
    list.push_back({{"role", message.role}, {"content", message.content}});
  }
  return render(list, prompt);
}

std::string ChatTemplate::render(const OrderedJson& messages, GenerationPrompt prompt,
                                 const OrderedJson& variables) const {
  jinja::Dict names = parsed_->special_tokens;
  names.set("messages", jinja::Value::from_json(messages));
  names.set("tools", jinja::None{});
  names.set("documents", jinja::None{});
  names.set("add_generation_prompt", prompt == GenerationPrompt::kAdd);
  for (const auto& [name, value] : variables.items())
    names.set(name, jinja::Value::from_json(value));
  try {
    return jinja::render(parsed_->block, names);
  } catch (const Error& error) {
    throw error.within(parsed_->where);
  }
}

}  // namespace quanthost::text
