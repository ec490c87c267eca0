// A model's tokens and their ids, both ways.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "host/text/json_fields.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::text {

class Vocab {
 public:
  Vocab() = default;
  Vocab(Vocab&&) = default;  // not copied: the maps point into tokens_
  Vocab& operator=(Vocab&&) = default;

  // Reads {"token": id, …}.
  static Vocab from_json(const Json& object, const std::string& where);

  // Of two tokens with one id, or two ids for one token, the last stays.
  void add(std::string token, TokenId id);

  std::optional<TokenId> id_of(std::string_view token) const {
    const auto it = ids_.find(token);
    return it == ids_.end() ? std::nullopt : std::optional(it->second);
  }
  const std::string_view* token_of(TokenId id) const {
    const auto it = by_id_.find(id);
    return it == by_id_.end() ? nullptr : &it->second;
  }
  std::size_t size() const { return ids_.size(); }

  // The id of <0x0A>, the name that a byte has in vocabularies with byte fallback.
  std::optional<TokenId> id_of_byte(unsigned char byte) const;

 private:
  std::deque<std::string> tokens_;  // elements never move
  std::unordered_map<std::string_view, TokenId> ids_;
  std::unordered_map<TokenId, std::string_view> by_id_;
};

}  // namespace quanthost::text
