#include "host/text/normalizer.hpp"

#include <functional>
#include <vector>

#include "host/text/byte_level.hpp"
#include "host/text/pattern.hpp"
#include "host/text/unicode.hpp"
#include "host/text/utf8.hpp"

namespace quanthost::text {
namespace {

// A normalizer that is one function.
class Simple : public Normalizer {
 public:
  explicit Simple(std::function<void(std::string&)> change) : change_(std::move(change)) {}
  void normalize(std::string& text) const override { change_(text); }

 private:
  std::function<void(std::string&)> change_;
};

// Rewrites a text character by character.
template <typename Append>
void rewrite(std::string& text, Append append) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) append(result, next_code_point(text, at));
  text = std::move(result);
}

void lowercase(std::string& text) { rewrite(text, append_lowercase); }

void strip_accents(std::string& text) {
  rewrite(text, [](std::string& out, char32_t c) {
    if (!is_mark(c)) append_code_point(out, c);
  });
}

// The cleaning rules of Google's neural machine translation.
void clean_for_nmt(std::string& text) {
  rewrite(text, [](std::string& out, char32_t c) {
    const bool dropped = (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) ||
                         c == 0x7F || c == 0x8F || c == 0x9F;
    if (dropped) return;
    const bool space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                       (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                       c == 0xFEFF || c == 0xFFFD;
    append_code_point(out, space ? U' ' : c);
  });
}

void to_byte_characters(std::string& text) {
  std::string result;
  append_byte_characters(result, text);
  text = std::move(result);
}

void strip(std::string& text, bool left, bool right) {
  std::size_t end = text.size();
  while (right && end > 0) {
    std::size_t previous = end;
    if (!is_whitespace(previous_code_point(text, previous))) break;
    end = previous;
  }
  std::size_t begin = 0;
  while (left && begin < end) {
    std::size_t next = begin;
    if (!is_whitespace(next_code_point(text, next))) break;
    begin = next;
  }
  text = text.substr(begin, end - begin);
}

void replace(std::string& text, const Regex& pattern, const std::string& content) {
  std::string result;
  result.reserve(text.size());
  pattern.partition(text, [&](std::size_t begin, std::size_t end, bool is_match) {
    is_match ? result += content : result.append(text, begin, end - begin);
  });
  text = std::move(result);
}

void replace_literal(std::string& text, const std::string& literal, const std::string& content) {
  std::string result;
  result.reserve(text.size());
  std::size_t from = 0;
  for (std::size_t at; (at = text.find(literal, from)) != std::string::npos;
       from = at + literal.size()) {
    result.append(text, from, at - from).append(content);
  }
  text = result.append(text, from);
}

class Sequence : public Normalizer {
 public:
  explicit Sequence(const Fields& fields) {
    const Json& list = fields.array("normalizers");
    for (std::size_t i = 0; i < list.size(); ++i) {
      parts_.push_back(
          read_normalizer(Fields(list[i], fmt::format("{}[{}]", fields.where("normalizers"), i))));
    }
  }
  void normalize(std::string& text) const override {
    for (const auto& part : parts_) part->normalize(text);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

std::unique_ptr<Normalizer> simple(std::function<void(std::string&)> change) {
  return std::make_unique<Simple>(std::move(change));
}

std::unique_ptr<Normalizer> unicode_form(NormalizationForm form) {
  return simple([form](std::string& text) { text = to_form(text, form); });
}

std::unique_ptr<Normalizer> read_replace_normalizer(const Fields& fields) {
  std::string content = fields.string("content");
  const Fields pattern = fields.object("pattern");
  if (pattern.has("String") && !pattern.string("String").empty()) {
    return simple([literal = pattern.string("String"), content](std::string& text) {
      replace_literal(text, literal, content);
    });
  }
  return simple([regex = read_pattern(fields), content](std::string& text) {
    replace(text, regex, content);
  });
}

}  // namespace

std::unique_ptr<Normalizer> read_normalizer(const Fields& fields) {
  const std::string type = fields.string("type");
  if (type == "Sequence") return std::make_unique<Sequence>(fields);
  if (type == "NFC") return unicode_form(NormalizationForm::kNfc);
  if (type == "NFD") return unicode_form(NormalizationForm::kNfd);
  if (type == "NFKC") return unicode_form(NormalizationForm::kNfkc);
  if (type == "NFKD") return unicode_form(NormalizationForm::kNfkd);
  if (type == "Lowercase") return simple(lowercase);
  if (type == "StripAccents") return simple(strip_accents);
  if (type == "Nmt") return simple(clean_for_nmt);
  if (type == "ByteLevel") return simple(to_byte_characters);
  if (type == "BertNormalizer") return read_bert_normalizer(fields);
  if (type == "Precompiled") return read_precompiled_charsmap(fields);
  if (type == "Replace") return read_replace_normalizer(fields);
  if (type == "Strip") {
    return simple([left = fields.boolean("strip_left", true),
                   right = fields.boolean("strip_right", true)](std::string& text) {
      strip(text, left, right);
    });
  }
  if (type == "Prepend") {
    return simple([prefix = fields.string("prepend")](std::string& text) {
      if (!text.empty()) text.insert(0, prefix);
    });
  }
  throw Error(ErrorKind::kNotImplemented,
              fmt::format("{}: the normalizer type {:?} is not known", fields.where(), type),
              "known are Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, "
              "BertNormalizer, Prepend, "
              "Replace, Precompiled, Nmt and ByteLevel");
}

}  // namespace quanthost::text
