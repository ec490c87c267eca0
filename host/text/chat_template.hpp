// Chat templates: a conversation as the text that a model was trained on.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "host/base/json.hpp"
#include "host/text/tokenizer_config.hpp"

namespace quanthost::text {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

enum class GenerationPrompt { kAdd, kOmit };  // the words after which the assistant answers

// A template in the part of Jinja that checkpoints' chat templates use; anything else is a clear
// error with its line. Immutable, any thread. The text it gives is encoded with
// SpecialTokens::kOmit: its special tokens are written out.
class ChatTemplate {
 public:
  // The template of a model's folder (see TokenizerConfig). A model without one is an error.
  static ChatTemplate load(const std::filesystem::path& model_folder,
                           const std::string& name = "default");

  // `where` names the source in errors; the config gives bos_token and the like.
  ChatTemplate(const std::string& source, const TokenizerConfig& config, std::string where);

  std::string render(std::span<const ChatMessage> messages,
                     GenerationPrompt prompt = GenerationPrompt::kAdd) const;

  // Messages as JSON, for tool calls and content in parts; `variables` are further names (tools,
  // enable_thinking, …).
  std::string render(const OrderedJson& messages, GenerationPrompt prompt,
                     const OrderedJson& variables = OrderedJson::object()) const;

 private:
  struct Parsed;
  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace quanthost::text
