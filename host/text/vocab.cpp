#include "host/text/vocab.hpp"

namespace quanthost::text {

Vocab Vocab::from_json(const Json& object, const std::string& where) {
  if (!object.is_object()) fail(ErrorKind::kValue, "{}: needs an object of tokens and ids", where);
  Vocab vocab;
  vocab.ids_.reserve(object.size());
  vocab.by_id_.reserve(object.size());
  for (const auto& [token, id] : object.items()) {
    if (!id.is_number_integer() || id < 0 || id > INT32_MAX) {
      fail(ErrorKind::kValue, "{}: token {:?} needs an id from 0 to 2147483647", where, token);
    }
    vocab.add(token, id.get<TokenId>());
  }
  return vocab;
}

void Vocab::add(std::string token, TokenId id) {
  const std::string_view stored = tokens_.emplace_back(std::move(token));
  ids_[stored] = id;
  by_id_[id] = stored;
}

std::optional<TokenId> Vocab::id_of_byte(unsigned char byte) const {
  return id_of(fmt::format("<0x{:02X}>", byte));
}

}  // namespace quanthost::text
