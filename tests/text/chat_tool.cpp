// chat_tool: one JSON object a line on stdin, {"template", "special", "messages", "prompt",
// "variables"}, becomes
// {"text"} or {"error"} a line on stdout. For the interop tests.
#include <iostream>

#include "host/text/chat_template.hpp"

namespace text = quanthost::text;
using quanthost::OrderedJson;

std::optional<std::string> token(const OrderedJson& special, const char* name) {
  return special.contains(name) ? std::optional(special[name].get<std::string>()) : std::nullopt;
}

OrderedJson answer(const OrderedJson& request) try {
  const OrderedJson& special = request["special"];
  text::TokenizerConfig config;
  config.bos_token = token(special, "bos_token");
  config.eos_token = token(special, "eos_token");
  config.pad_token = token(special, "pad_token");
  config.unk_token = token(special, "unk_token");
  const text::ChatTemplate chat(request["template"].get<std::string>(), config, "template");
  const auto prompt =
      request["prompt"].get<bool>() ? text::GenerationPrompt::kAdd : text::GenerationPrompt::kOmit;
  return {{"text", chat.render(request["messages"], prompt, request["variables"])}};
} catch (const quanthost::Error& error) {
  return {{"error", error.what()}};
}

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << answer(OrderedJson::parse(line)) << '\n';
  }
}
