// Any bytes as tokenizer.json, and behind a NUL byte a text for it: a result or an Error, and
// decoding gives UTF-8.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "host/base/error.hpp"
#include "host/text/stream_decoder.hpp"
#include "host/text/tokenizer.hpp"
#include "host/text/utf8.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace quanthost::text;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.find('\0'), size);
  const std::string text =
      end < size ? replace_invalid_utf8(input.substr(end + 1)) : "Hello, 1 w\xC3\xB6rld!";
  try {
    const Tokenizer tokenizer = Tokenizer::from_json(input.substr(0, end), "fuzz");
    const auto ids = tokenizer.encode(text);
    tokenizer.encode_pair(text, text, SpecialTokens::kOmit);
    const std::string decoded = tokenizer.decode(ids, SpecialTokens::kAdd);
    if (replace_invalid_utf8(decoded) != decoded) std::abort();
    StreamDecoder stream(tokenizer);
    for (const TokenId id : ids) stream.push(id);
    stream.finish();
  } catch (const quanthost::Error&) {
  }
  return 0;
}
