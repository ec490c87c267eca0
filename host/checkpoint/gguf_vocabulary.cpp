#include "host/checkpoint/gguf_vocabulary.hpp"

#include <algorithm>
#include <tuple>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kKinds = "tokenizer.ggml.token_type";
constexpr std::string_view kScores = "tokenizer.ggml.scores";
constexpr std::string_view kMerges = "tokenizer.ggml.merges";
// Longer tokens exist only as damage: no tokenizer merges this much text.
constexpr std::size_t kMaxTokenBytes = 4096;

bool is_char_boundary(std::string_view text, std::size_t at) {
  return (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
}

}  // namespace

const std::string& GgufVocabulary::token(std::uint64_t id) const {
  if (id >= tokens.size())
    fail(ErrorKind::kValue, "token id {} is not in a vocabulary of {}", id, tokens.size());
  return tokens[id];
}

GgufVocabulary read_gguf_vocabulary(const GgufMetadata& metadata) {
  const auto* tokens = metadata.texts(kTokens);
  if (tokens == nullptr) fail(ErrorKind::kKey, "metadata {} is missing", kTokens);
  GgufVocabulary vocabulary;
  vocabulary.tokens = *tokens;
  const auto kinds = metadata.signed_numbers(kKinds);
  if (kinds && kinds->size() != tokens->size()) {
    fail(ErrorKind::kValue, "metadata {} has {} entries for {} tokens", kKinds, kinds->size(),
         tokens->size());
  }
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    vocabulary.kinds.push_back(kinds ? static_cast<TokenKind>((*kinds)[id]) : TokenKind::kNormal);
    const std::string& token = vocabulary.tokens[id];
    if (token.size() > kMaxTokenBytes)
      fail(ErrorKind::kValue, "token {} has {} bytes", id, token.size());
    const auto [place, is_new] = vocabulary.id_of.emplace(token, id);
    if (!is_new) {
      fail(ErrorKind::kValue,
           "tokens {} and {} are the same, \"{}\": tokenizer.json cannot hold both", place->second,
           id, token);
    }
  }
  return vocabulary;
}

Merges read_gguf_merges(const GgufMetadata& metadata, const GgufVocabulary& vocabulary) {
  const auto* lines = metadata.texts(kMerges);
  if (lines == nullptr) fail(ErrorKind::kKey, "metadata {} is missing", kMerges);
  Merges merges;
  merges.reserve(lines->size());
  for (const std::string& line : *lines) {
    // A token of byte-level BPE holds no space, but begin the search behind a leading one as
    // llama.cpp does.
    const auto space = line.find(' ', 1);
    if (line.empty() || space == std::string::npos) {
      fail(ErrorKind::kValue, "merge {}, \"{}\", is not two tokens with a space between",
           merges.size(), line);
    }
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
    const auto& [left, right] = merges.back();
    for (const std::string& part : {left, right, left + right}) {
      if (!vocabulary.id_of.contains(part)) {
        fail(ErrorKind::kValue, "merge {}, \"{}\": \"{}\" is not a token", merges.size() - 1, line,
             part);
      }
    }
  }
  return merges;
}

Merges merges_from_scores(const GgufMetadata& metadata, const GgufVocabulary& vocabulary) {
  const auto* scores = metadata.numbers(kScores);
  if (scores == nullptr) fail(ErrorKind::kKey, "metadata {} is missing", kScores);
  if (scores->size() != vocabulary.tokens.size()) {
    fail(ErrorKind::kValue, "metadata {} has {} entries for {} tokens", kScores, scores->size(),
         vocabulary.tokens.size());
  }
  struct Candidate {
    double score;
    std::size_t id;  // of the whole; then of the parts
    std::size_t left, right;
  };
  std::vector<Candidate> candidates;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string_view token = vocabulary.tokens[id];
    for (std::size_t at = 1; at < token.size(); ++at) {
      if (!is_char_boundary(token, at)) continue;
      const auto left = vocabulary.id_of.find(token.substr(0, at));
      if (left == vocabulary.id_of.end()) continue;
      const auto right = vocabulary.id_of.find(token.substr(at));
      if (right == vocabulary.id_of.end()) continue;
      candidates.push_back({(*scores)[id], id, left->second, right->second});
    }
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(b.score, a.id, a.left, a.right) < std::tie(a.score, b.id, b.left, b.right);
  });
  Merges merges;
  for (const Candidate& candidate : candidates) {
    merges.emplace_back(vocabulary.tokens[candidate.left], vocabulary.tokens[candidate.right]);
  }
  return merges;
}

}  // namespace quanthost
