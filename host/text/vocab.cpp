#include "host/text/vocab.hpp"

#include <bit>

#include "host/text/string_hash.hpp"

namespace quanthost::text {

Vocab::Vocab(std::size_t expected_tokens) : by_id_(expected_tokens) {
  tokens_.reserve(expected_tokens);
  resize_slots(std::bit_ceil(2 * expected_tokens + 16));
}

Vocab Vocab::of_list(std::size_t entries) {
  Vocab vocab(entries);
  vocab.is_list_ = true;
  return vocab;
}

void Vocab::add(std::string_view token, TokenId id) {
  if (2 * (tokens_.size() + 1) > slots_.size()) resize_slots(2 * slots_.size());
  const std::uint64_t hash = string_hash(token);
  Slot& slot = slots_[slot_of(token, hash)];
  if (slot.token == kEmpty) {
    slot = {static_cast<std::uint32_t>(hash), static_cast<std::uint32_t>(tokens_.size())};
    tokens_.push_back({text_.size(), token.size(), id});
    text_ += token;
  } else {
    tokens_[slot.token].id = id;
  }
  by_id_[static_cast<std::uint32_t>(id)] = slot.token;
}

std::optional<TokenId> Vocab::id_of(std::string_view token) const {
  const Slot& slot = slots_[slot_of(token, string_hash(token))];
  return slot.token == kEmpty ? std::nullopt : std::optional(tokens_[slot.token].id);
}

std::optional<std::string_view> Vocab::token_of(TokenId id) const {
  const std::uint32_t* token = by_id_.find(static_cast<std::uint32_t>(id));
  if (!token || (!is_list_ && tokens_[*token].id != id)) return std::nullopt;
  return text_of(tokens_[*token]);
}

std::optional<TokenId> Vocab::id_of_byte(unsigned char byte) const {
  return id_of(fmt::format("<0x{:02X}>", byte));
}

std::size_t Vocab::slot_of(std::string_view token, std::uint64_t hash) const {
  const auto tag = static_cast<std::uint32_t>(hash);
  for (std::size_t i = hash >> shift_;; i = (i + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[i];
    if (slot.token == kEmpty || (slot.tag == tag && text_of(tokens_[slot.token]) == token))
      return i;
  }
}

void Vocab::resize_slots(std::size_t capacity) {
  slots_.assign(capacity, Slot());
  shift_ = 64 - std::countr_zero(capacity);
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const std::string_view token = text_of(tokens_[i]);
    const std::uint64_t hash = string_hash(token);
    slots_[slot_of(token, hash)] = {static_cast<std::uint32_t>(hash),
                                    static_cast<std::uint32_t>(i)};
  }
}

}  // namespace quanthost::text
