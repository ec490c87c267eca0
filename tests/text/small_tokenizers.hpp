// Tokenizers written by hand for the tests of this folder.
#pragma once

#include "host/base/json.hpp"
#include "host/text/byte_level.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::text {

// The 256 byte symbols with their byte's value as id, and a few merges: he ll hell hello Ġw.
inline Json byte_level_json() {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    std::string symbol;
    append_byte_characters(symbol, std::string(1, static_cast<char>(byte)));
    vocab[symbol] = byte;
  }
  vocab["he"] = 256;
  vocab["ll"] = 257;
  vocab["hell"] = 258;
  vocab["hello"] = 259;
  vocab["\xC4\xA0w"] = 260;
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
  return {{"version", "1.0"},
          {"added_tokens", Json::array({{{"id", 261}, {"content", "<|end|>"}, {"special", true}}})},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocab},
            {"merges", Json::array({"h e", "l l", "he ll", "hell o", "\xC4\xA0 w"})}}}};
}

inline Tokenizer tokenizer_of(const Json& json) {
  return Tokenizer::from_json(json.dump(), "tokenizer.json");
}
inline Tokenizer byte_level_tokenizer() { return tokenizer_of(byte_level_json()); }

}  // namespace quanthost::text
