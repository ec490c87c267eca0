// The vocabulary of a GGUF tokenizer: tokens with their kinds and scores, and the merges.
#pragma once

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "host/checkpoint/gguf_file.hpp"

namespace quanthost {

// ggml's token kinds.
enum class TokenKind : std::int64_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

struct GgufVocabulary {
  std::vector<std::string> tokens;                          // by id
  std::vector<TokenKind> kinds;                             // as many as tokens
  std::unordered_map<std::string_view, std::size_t> id_of;  // views into `tokens`

  const std::string& token(std::uint64_t id) const;  // throws Error(kValue) for an id out of range
};

using Merges = std::vector<std::pair<std::string, std::string>>;  // in the order of their rank

GgufVocabulary read_gguf_vocabulary(const GgufMetadata& metadata);

// The merges that the file lists, each "left right".
Merges read_gguf_merges(const GgufMetadata& metadata, const GgufVocabulary& vocabulary);

// SentencePiece stores scores instead: two tokens merge when their concatenation is a token, best
// score first.
Merges merges_from_scores(const GgufMetadata& metadata, const GgufVocabulary& vocabulary);

}  // namespace quanthost
