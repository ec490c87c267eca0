#include "host/text/pre_tokenizer.hpp"

#include <vector>

#include "host/text/byte_level.hpp"
#include "host/text/pattern.hpp"
#include "host/text/split_behavior.hpp"
#include "host/text/unicode.hpp"
#include "host/text/utf8.hpp"

namespace quanthost::text {
namespace {

constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

using CharacterTest = bool (*)(char32_t);

// Cuts at every character that passes the test.
void split_at(const Piece& piece, CharacterTest test, SplitBehavior behavior,
              const PieceSink& sink) {
  PieceCutter cutter(piece, behavior, sink);
  std::size_t covered = 0;
  for (std::size_t at = 0; at < piece.text.size();) {
    const std::size_t begin = at;
    if (!test(next_code_point(piece.text, at))) continue;
    if (covered < begin) cutter.part(covered, begin, false);
    cutter.part(begin, at, true);
    covered = at;
  }
  if (covered < piece.text.size()) cutter.part(covered, piece.text.size(), false);
  cutter.finish();
}

class CharacterSplit : public PreTokenizer {
 public:
  CharacterSplit(CharacterTest test, SplitBehavior behavior) : test_(test), behavior_(behavior) {}
  void split(const Piece& piece, const PieceSink& sink) const override {
    split_at(piece, test_, behavior_, sink);
  }

 private:
  CharacterTest test_;
  SplitBehavior behavior_;
};

class PatternSplit : public PreTokenizer {
 public:
  PatternSplit(Regex pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void split(const Piece& piece, const PieceSink& sink) const override {
    PieceCutter cutter(piece, behavior_, sink);
    pattern_.partition(piece.text, [&](std::size_t begin, std::size_t end, bool is_match) {
      cutter.part(begin, end, is_match != invert_);
    });
    cutter.finish();
  }

 private:
  Regex pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class ByteLevel : public PreTokenizer {
 public:
  explicit ByteLevel(const Fields& fields)
      : add_prefix_space_(fields.boolean("add_prefix_space", true)),
        use_regex_(fields.boolean("use_regex", true)),
        words_(kGpt2Pattern) {}

  void split(const Piece& piece, const PieceSink& sink) const override {
    std::string with_space;
    std::string_view text = piece.text;
    if (add_prefix_space_ && !text.starts_with(' ')) text = with_space.append(" ").append(text);
    std::string characters;
    const auto emit = [&](std::size_t begin, std::size_t end, bool) {
      characters.clear();
      append_byte_characters(characters, text.substr(begin, end - begin));
      sink({characters, piece.at_start && begin == 0});
    };
    use_regex_ ? words_.partition(text, emit) : emit(0, text.size(), true);
  }

 private:
  bool add_prefix_space_;
  bool use_regex_;
  Regex words_;
};

class Metaspace : public PreTokenizer {
 public:
  explicit Metaspace(const Fields& fields)
      : mark_(fields.character("replacement")), split_(fields.boolean("split", true)) {
    scheme_ = fields.string("prepend_scheme", "always");
    if (!fields.boolean("add_prefix_space", true))
      scheme_ = "never";  // the name before prepend_scheme
    if (scheme_ != "first" && scheme_ != "always" && scheme_ != "never") {
      fail(ErrorKind::kValue, "{}: {:?} is none of first, always, never",
           fields.where("prepend_scheme"), scheme_);
    }
  }

  void split(const Piece& piece, const PieceSink& sink) const override {
    std::string text;
    text.reserve(piece.text.size() + piece.text.size() / 2);
    const bool prepend = scheme_ == "always" || (scheme_ == "first" && piece.at_start);
    if (prepend && !piece.text.starts_with(' ') && !piece.text.starts_with(mark_)) text = mark_;
    for (const char c : piece.text) c == ' ' ? text += mark_ : text += c;
    const Piece marked{text, piece.at_start};
    if (!split_) return sink(marked);
    PieceCutter cutter(marked, SplitBehavior::kMergedWithNext, sink);
    std::size_t covered = 0;
    for (std::size_t at; (at = text.find(mark_, covered)) != std::string::npos;
         covered = at + mark_.size()) {
      if (covered < at) cutter.part(covered, at, false);
      cutter.part(at, at + mark_.size(), true);
    }
    if (covered < text.size()) cutter.part(covered, text.size(), false);
    cutter.finish();
  }

 private:
  std::string mark_;
  bool split_;
  std::string scheme_;
};

// Runs of word characters, and runs of what is neither word nor whitespace.
class Whitespace : public PreTokenizer {
 public:
  void split(const Piece& piece, const PieceSink& sink) const override {
    const std::string_view text = piece.text;
    std::size_t begin = 0;
    Kind kind = Kind::kSpace;
    for (std::size_t at = 0; at <= text.size();) {
      const std::size_t here = at;
      const Kind next = at < text.size() ? kind_of(next_code_point(text, at)) : Kind::kSpace;
      if (next != kind) {
        if (kind != Kind::kSpace)
          sink({text.substr(begin, here - begin), piece.at_start && begin == 0});
        begin = here;
        kind = next;
      }
      if (here == text.size()) break;
    }
  }

 private:
  enum class Kind { kSpace, kWord, kOther };
  static Kind kind_of(char32_t c) {
    return is_word(c) ? Kind::kWord : is_whitespace(c) ? Kind::kSpace : Kind::kOther;
  }
};

class PreTokenizerSequence : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<PreTokenizer>> parts)
      : parts_(std::move(parts)) {}

  void split(const Piece& piece, const PieceSink& sink) const override { run(0, piece, sink); }

 private:
  void run(std::size_t index, const Piece& piece, const PieceSink& sink) const {
    if (index == parts_.size()) return sink(piece);
    if (index + 1 == parts_.size()) return parts_[index]->split(piece, sink);
    const struct Next {
      const PreTokenizerSequence& sequence;
      std::size_t index;
      const PieceSink& sink;
    } next{*this, index + 1, sink};
    parts_[index]->split(
        piece, [&next](const Piece& part) { next.sequence.run(next.index, part, next.sink); });
  }

  std::vector<std::unique_ptr<PreTokenizer>> parts_;
};

std::unique_ptr<PreTokenizer> read_sequence(const Fields& fields) {
  std::vector<std::unique_ptr<PreTokenizer>> parts;
  const Json& list = fields.array("pretokenizers");
  for (std::size_t i = 0; i < list.size(); ++i) {
    parts.push_back(read_pre_tokenizer(
        Fields(list[i], fmt::format("{}[{}]", fields.where("pretokenizers"), i))));
  }
  return std::make_unique<PreTokenizerSequence>(std::move(parts));
}

std::unique_ptr<PreTokenizer> split_at(CharacterTest test, SplitBehavior behavior) {
  return std::make_unique<CharacterSplit>(test, behavior);
}

std::unique_ptr<PreTokenizer> bert_pre_tokenizer() {
  std::vector<std::unique_ptr<PreTokenizer>> parts;
  parts.push_back(split_at(is_whitespace, SplitBehavior::kRemoved));
  parts.push_back(split_at(is_punctuation, SplitBehavior::kIsolated));
  return std::make_unique<PreTokenizerSequence>(std::move(parts));
}

}  // namespace

std::unique_ptr<PreTokenizer> read_pre_tokenizer(const Fields& fields) {
  const std::string type = fields.string("type");
  if (type == "Sequence") return read_sequence(fields);
  if (type == "ByteLevel") return std::make_unique<ByteLevel>(fields);
  if (type == "Metaspace") return std::make_unique<Metaspace>(fields);
  if (type == "BertPreTokenizer") return bert_pre_tokenizer();
  if (type == "Whitespace") return std::make_unique<Whitespace>();
  if (type == "WhitespaceSplit") return split_at(is_whitespace, SplitBehavior::kRemoved);
  if (type == "Punctuation") {
    const bool named = fields.has("behavior");
    return split_at(is_punctuation,
                    named ? read_split_behavior(fields, "behavior") : SplitBehavior::kIsolated);
  }
  if (type == "Digits") {
    const bool individual = fields.boolean("individual_digits", false);
    return split_at(is_numeric, individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
  }
  if (type == "Split") {
    return std::make_unique<PatternSplit>(read_pattern(fields),
                                          read_split_behavior(fields, "behavior"),
                                          fields.boolean("invert", false));
  }
  if (type == "CharDelimiterSplit" || type == "Delimiter") {
    return std::make_unique<PatternSplit>(Regex(escape_for_regex(fields.character("delimiter"))),
                                          SplitBehavior::kRemoved, false);
  }
  throw Error(ErrorKind::kNotImplemented,
              fmt::format("{}: the pre-tokenizer type {:?} is not known", fields.where(), type),
              "known are Sequence, ByteLevel, Split, Digits, Metaspace, BertPreTokenizer, "
              "Whitespace, WhitespaceSplit, "
              "Punctuation and CharDelimiterSplit");
}

}  // namespace quanthost::text
