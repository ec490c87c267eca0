// A model's tokens and their ids, both ways.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/text/flat_map.hpp"
#include "host/text/json_fields.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::text {

class Vocab {
 public:
  Vocab() : Vocab(0) {}
  explicit Vocab(std::size_t expected_tokens);

  // The vocabulary of a list, whose ids are places: a token that stands twice has two ids, of which
  // id_of() gives the last. In others it has the last one alone.
  static Vocab of_list(std::size_t entries);

  // Of two tokens with one id, the last stays.
  void add(std::string_view token, TokenId id);

  std::optional<TokenId> id_of(std::string_view token) const;
  std::optional<std::string_view> token_of(TokenId id) const;  // valid until the next add()
  std::size_t size() const { return tokens_.size(); }

  // The id of <0x0A>, the name that a byte has in vocabularies with byte fallback.
  std::optional<TokenId> id_of_byte(unsigned char byte) const;

 private:
  struct Token {
    std::size_t begin;  // in text_
    std::size_t bytes;
    TokenId id;
  };
  struct Slot {
    std::uint32_t tag = 0;         // of the token's hash: most other tokens differ in it
    std::uint32_t token = kEmpty;  // its place in tokens_
  };
  static constexpr std::uint32_t kEmpty = ~std::uint32_t{0};

  std::string_view text_of(const Token& token) const {
    return std::string_view(text_).substr(token.begin, token.bytes);
  }
  // The slot of the token, or the free one where it belongs.
  std::size_t slot_of(std::string_view token, std::uint64_t hash) const;
  void resize_slots(std::size_t capacity);

  std::string text_;  // of all tokens, one behind the other
  std::vector<Token> tokens_;
  std::vector<Slot> slots_;  // a power of two, at most half full
  bool is_list_ = false;
  int shift_ = 0;  // from a hash to a place in slots_
  FlatMap<std::uint32_t> by_id_;
};

}  // namespace quanthost::text
