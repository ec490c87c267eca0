// SentencePiece's compiled normalization rules: a double-array trie whose values point into a table
// of replacements.
#include <cstring>
#include <optional>
#include <vector>

#include "host/text/normalizer.hpp"
#include "host/text/unicode.hpp"
#include "host/text/utf8.hpp"

namespace quanthost::text {
namespace {

std::string decode_base64(std::string_view text, const std::string& where) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text.substr(0, text.find('='))) {
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) fail(ErrorKind::kValue, "{}: is not base64", where);
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes += static_cast<char>(bits >> count);
    }
  }
  return bytes;
}

class PrecompiledCharsmap : public Normalizer {
 public:
  explicit PrecompiledCharsmap(const Fields& fields) {
    const std::string where = fields.where("precompiled_charsmap");
    const std::string bytes = decode_base64(fields.string("precompiled_charsmap"), where);
    std::uint32_t trie_bytes = 0;
    if (bytes.size() >= 4) std::memcpy(&trie_bytes, bytes.data(), 4);
    if (bytes.size() < 4 || trie_bytes > bytes.size() - 4 || trie_bytes % 4 != 0 ||
        trie_bytes == 0) {
      fail(ErrorKind::kValue, "{}: the size of the trie does not fit the data", where);
    }
    units_.resize(trie_bytes / 4);
    std::memcpy(units_.data(), bytes.data() + 4, trie_bytes);
    replacements_ = bytes.substr(4 + trie_bytes);
    require_utf8(replacements_);
  }

  // Rules are for grapheme clusters of up to five bytes, else for single characters.
  void normalize(std::string& text) const override {
    std::string result;
    result.reserve(text.size());
    for (std::string_view rest = text; !rest.empty();) {
      const std::size_t length = first_grapheme_length(rest);
      append(result, rest.substr(0, length));
      rest.remove_prefix(length);
    }
    text = std::move(result);
  }

 private:
  void append(std::string& out, std::string_view grapheme) const {
    if (grapheme.size() < 6) {
      if (const auto replacement = find(grapheme)) {
        out += *replacement;
        return;
      }
    }
    for (std::size_t at = 0; at < grapheme.size();) {
      const std::string_view character = grapheme.substr(at, sequence_length(grapheme[at]));
      out += find(character).value_or(character);
      at += character.size();
    }
  }

  static std::uint32_t offset_of(std::uint32_t unit) {
    return (unit >> 10) << ((unit & 0x200u) >> 6);
  }

  // The replacement of the shortest key that the text starts with.
  std::optional<std::string_view> find(std::string_view text) const {
    std::uint32_t node = offset_of(units_[0]);
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      node ^= byte;
      if (byte == 0 || node >= units_.size()) return std::nullopt;
      const std::uint32_t unit = units_[node];
      if ((unit & 0x800000FFu) != byte) return std::nullopt;
      node ^= offset_of(unit);
      if (unit & 0x100u) return replacement_at(node);
    }
    return std::nullopt;
  }

  std::optional<std::string_view> replacement_at(std::uint32_t node) const {
    if (node >= units_.size()) return std::nullopt;
    const std::size_t begin = units_[node] & 0x7FFFFFFFu;
    if (begin >= replacements_.size() || (replacements_[begin] & 0xC0) == 0x80) return std::nullopt;
    const std::string_view rest = std::string_view(replacements_).substr(begin);
    return rest.substr(0, rest.find('\0'));
  }

  std::vector<std::uint32_t> units_;
  std::string replacements_;  // NUL-terminated strings
};

}  // namespace

std::unique_ptr<Normalizer> read_precompiled_charsmap(const Fields& fields) {
  return std::make_unique<PrecompiledCharsmap>(fields);
}

}  // namespace quanthost::text
