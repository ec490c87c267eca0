// Any bytes as a chat template: a text or an Error, in bounded time.
#include <cstdint>
#include <string>

#include "host/text/chat_template.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace quanthost::text;
  static const quanthost::OrderedJson kMessages = quanthost::OrderedJson::parse(
      R"([{"role": "system", "content": "a b"}, {"role": "user", "content": "x"}, {"role": "assistant", "content": ""}])");
  try {
    const ChatTemplate chat(std::string(reinterpret_cast<const char*>(data), size), {}, "fuzz");
    chat.render(kMessages, GenerationPrompt::kAdd);
  } catch (const quanthost::Error&) {
  }
  return 0;
}
