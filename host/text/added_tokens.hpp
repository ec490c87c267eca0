// Tokens that are found in a text before anything else happens to it: special tokens and those
// users added.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "host/text/byte_trie.hpp"
#include "host/text/normalizer.hpp"
#include "host/text/vocab.hpp"

namespace quanthost::text {

struct AddedToken {
  std::string content;
  std::string normal_form;  // what is looked for, and shown again when decoding: see `normalized`
  TokenId id = 0;
  bool single_word = false;  // only where no word character is next to it
  bool lstrip = false;       // takes the whitespace on its left with it
  bool rstrip = false;
  bool normalized = false;  // looked for in the normalized text, by its normalized content
  bool special = false;     // left out when decoding
};

class AddedTokens {
 public:
  AddedTokens() = default;
  // Reads the "added_tokens" of a tokenizer.json. A token of the model's vocabulary keeps the id it
  // has there; a new one gets the next free id, whatever the file says: so does the original. The
  // normalizer may be null.
  AddedTokens(const Json& list, const std::string& where, const Vocab& vocab,
              const Normalizer* normalizer);

  enum class Stage { kRaw, kNormalized };
  using Visit =
      std::function<void(std::string_view part, const AddedToken* token)>;  // null: plain text
  // Calls visit for every part of the text, in order; parts are not empty.
  void split(std::string_view text, Stage stage, const Visit& visit) const;

  std::optional<TokenId> id_of(std::string_view content) const;
  const AddedToken* find(TokenId id) const;
  bool is_special(std::string_view content) const {
    return special_.contains(std::string(content));
  }
  std::size_t count_outside(const Vocab& vocab) const;

 private:
  struct Matcher {
    ByteTrie trie;  // to indices of tokens_
    std::array<bool, 256> first_bytes{};

    void insert(std::string_view pattern, std::int32_t token);
    // The longest token that begins at text[at], or -1.
    std::int32_t match(std::string_view text, std::size_t at, std::size_t& length) const;
  };

  void add(AddedToken token);

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, std::size_t> by_content_;
  std::unordered_map<TokenId, std::size_t> by_id_;
  std::unordered_set<std::string> special_;
  Matcher raw_;
  Matcher normalized_;
};

}  // namespace quanthost::text
