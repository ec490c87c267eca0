// BERT's cleaning: control characters out, spaces around CJK ideographs, accents off, lowercase.
#include "host/text/normalizer.hpp"
#include "host/text/unicode.hpp"
#include "host/text/utf8.hpp"

namespace quanthost::text {
namespace {

// The blocks that BERT's authors named. Their fifth range begins at U+2B920, not U+2B820, in the
// file format's own implementation; ids must be the same, so it does here.
bool is_cjk(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool is_blank(char32_t c) { return c == '\t' || c == '\n' || c == '\r' || is_whitespace(c); }

bool is_dropped(char32_t c) {
  return c == 0 || c == 0xFFFD || (is_control(c) && c != '\t' && c != '\n' && c != '\r');
}

class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(const Fields& fields)
      : clean_(fields.boolean("clean_text", true)),
        space_cjk_(fields.boolean("handle_chinese_chars", true)),
        lowercase_(fields.boolean("lowercase", true)),
        strip_accents_(fields.boolean("strip_accents", lowercase_)) {}

  void normalize(std::string& text) const override {
    std::string result;
    result.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) append_cleaned(result, next_code_point(text, at));
    text = strip_accents_ ? to_form(result, NormalizationForm::kNfd) : std::move(result);
    if (!strip_accents_ && !lowercase_) return;
    result.clear();
    for (std::size_t at = 0; at < text.size();) append_folded(result, next_code_point(text, at));
    text = std::move(result);
  }

 private:
  void append_cleaned(std::string& out, char32_t c) const {
    if (clean_ && is_dropped(c)) return;
    if (clean_ && is_blank(c)) c = ' ';
    const bool spaced = space_cjk_ && is_cjk(c);
    if (spaced) out += ' ';
    append_code_point(out, c);
    if (spaced) out += ' ';
  }

  void append_folded(std::string& out, char32_t c) const {
    if (strip_accents_ && is_nonspacing_mark(c)) return;
    lowercase_ ? append_lowercase(out, c) : append_code_point(out, c);
  }

  bool clean_;
  bool space_cjk_;
  bool lowercase_;
  bool strip_accents_;
};

}  // namespace

std::unique_ptr<Normalizer> read_bert_normalizer(const Fields& fields) {
  return std::make_unique<BertNormalizer>(fields);
}

}  // namespace quanthost::text
