#include "host/text/unicode.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <span>

#include "host/base/error.hpp"
#include "host/text/utf8.hpp"

namespace quanthost::text {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

#include "host/text/unicode_classes.inc"

bool contains(std::span<const Range> ranges, char32_t c) {
  const auto behind =
      std::upper_bound(ranges.begin(), ranges.end(), c,
                       [](char32_t value, const Range& range) { return value < range.first; });
  return behind != ranges.begin() && c <= std::prev(behind)->last;
}

utf8proc_option_t options_of(NormalizationForm form) {
  switch (form) {
    case NormalizationForm::kNfc:
      return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    case NormalizationForm::kNfd:
      return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
    case NormalizationForm::kNfkc:
      return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
    case NormalizationForm::kNfkd:
      break;
  }
  return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
}

bool is_ascii(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

void append_form(std::string& out, std::string_view text, NormalizationForm form) {
  if (text.empty()) return;
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &mapped, options_of(form));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (length < 0) {
    fail(ErrorKind::kValue, "Unicode normalization failed: {}", utf8proc_errmsg(length));
  }
  out.append(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(length));
}

}  // namespace

bool is_whitespace(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D);
  return contains(kWhitespace, c);
}

bool is_numeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  return contains(kNumeric, c);
}

bool is_punctuation(char32_t c) { return contains(kPunctuation, c); }
bool is_nonspacing_mark(char32_t c) { return c >= 0x300 && contains(kNonspacingMark, c); }
bool is_mark(char32_t c) { return c >= 0x300 && contains(kMark, c); }
bool is_control(char32_t c) { return contains(kControl, c); }
bool is_word(char32_t c) { return contains(kWord, c); }

std::string to_form(std::string_view text, NormalizationForm form) {
  if (is_ascii(text)) return std::string(text);
  std::string result;
  std::size_t covered = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = next_code_point(text, at);
    if (c < kOpaque[0].first || !contains(kOpaque, c)) continue;
    append_form(result, text.substr(covered, begin - covered), form);
    result += text.substr(begin, at - begin);
    covered = at;
  }
  append_form(result, text.substr(covered), form);
  return result;
}

void append_lowercase(std::string& text, char32_t c) {
  if (c == 0x130) {  // the only character whose lowercase is two: i and a dot above
    text += "i\xCC\x87";
  } else {
    append_code_point(text,
                      static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

std::size_t first_grapheme_length(std::string_view text) {
  std::size_t at = 0;
  auto previous = static_cast<utf8proc_int32_t>(next_code_point(text, at));
  utf8proc_int32_t state = 0;
  while (at < text.size()) {
    std::size_t behind = at;
    const auto next = static_cast<utf8proc_int32_t>(next_code_point(text, behind));
    if (utf8proc_grapheme_break_stateful(previous, next, &state)) break;
    previous = next;
    at = behind;
  }
  return at;
}

}  // namespace quanthost::text
