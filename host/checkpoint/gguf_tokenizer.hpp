// tokenizer.json and tokenizer_config.json from the tokenizer metadata of a GGUF file.
#pragma once

#include <optional>
#include <string>

#include "host/base/json.hpp"
#include "host/checkpoint/gguf_file.hpp"

namespace quanthost {

struct SpecialTokens {
  std::optional<std::uint64_t> bos, eos, unknown, padding;
};

struct GgufTokenizer {
  std::string tokenizer_json;  // text, as vocabularies keep their order
  Json tokenizer_config;       // with the chat template, where the file has one
  SpecialTokens special;
  // Ids that end a generated text: the end token, and the end-of-turn token where that is another.
  std::vector<std::uint64_t> end_ids;
};

// Ids are llama.cpp's. Reads byte-level BPE ("gpt2") with the pre-tokenizers smollm, gpt-2,
// llama-bpe and qwen2, and SentencePiece BPE with byte fallback ("llama"). Throws
// Error(kNotImplemented) that names any other kind.
GgufTokenizer read_gguf_tokenizer(const GgufMetadata& metadata);

}  // namespace quanthost
