// A tokenizer.json as it is read: its two long lists go straight into the tables that use them; all
// else is small and stays JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/base/json.hpp"
#include "host/text/vocab.hpp"

namespace quanthost::text {

// Pairs of tokens, the one to merge first in front.
class MergeList {
 public:
  // Twice for each merge: its left token, then its right one.
  void add(std::string_view token) {
    text_ += token;
    ends_.push_back(text_.size());
  }
  std::size_t size() const { return (ends_.size() - 1) / 2; }
  std::pair<std::string_view, std::string_view> operator[](std::size_t rank) const {
    return {token(2 * rank), token(2 * rank + 1)};
  }

 private:
  std::string_view token(std::size_t i) const {
    return std::string_view(text_).substr(ends_[i], ends_[i + 1] - ends_[i]);
  }

  std::string text_;  // of all tokens, one behind the other
  std::vector<std::size_t> ends_ = {0};
};

struct TokenizerDocument {
  Json rest;                        // without what the two others hold
  std::optional<Vocab> vocab;       // model.vocab, where that is an object
  std::optional<MergeList> merges;  // model.merges, where that is an array
};

// Throws as parse_json() does, and for entries of the lists that are none.
TokenizerDocument read_tokenizer_document(std::string_view json, const std::string& where);

}  // namespace quanthost::text
