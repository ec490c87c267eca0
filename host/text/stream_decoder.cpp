#include "host/text/stream_decoder.hpp"

namespace quanthost::text {
namespace {

constexpr std::string_view kReplacement =
    "\xEF\xBF\xBD";  // U+FFFD: bytes that are no character, or not yet

}  // namespace

StreamDecoder::StreamDecoder(Tokenizer tokenizer, SpecialTokens special)
    : tokenizer_(std::move(tokenizer)), special_(special) {}

std::string StreamDecoder::push(TokenId id) {
  ids_.push_back(id);
  const std::string text = tokenizer_.decode(ids_, special_);
  if (text.size() <= given_text_.size() || text.ends_with(kReplacement) ||
      !text.starts_with(given_text_))
    return {};
  std::string added = text.substr(given_text_.size());
  ids_.erase(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(given_ids_));
  given_ids_ = ids_.size();
  given_text_ = tokenizer_.decode(ids_, special_);
  return added;
}

std::string StreamDecoder::finish() {
  const std::string text = tokenizer_.decode(ids_, special_);
  std::string rest =
      text.starts_with(given_text_) ? text.substr(given_text_.size()) : std::string();
  ids_.clear();
  given_ids_ = 0;
  given_text_.clear();
  return rest;
}

}  // namespace quanthost::text
