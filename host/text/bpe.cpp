// Byte pair encoding: the pair of neighbours with the lowest rank is merged, again and again.
#include <algorithm>

#include "host/text/flat_map.hpp"
#include "host/text/model.hpp"
#include "host/text/utf8.hpp"
#include "host/text/word_cache.hpp"

namespace quanthost::text {
namespace {

struct Merge {
  std::uint32_t rank = 0;
  TokenId product = 0;
};

std::uint64_t pair_of(TokenId left, TokenId right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

struct BpeOptions {
  std::optional<std::string> unknown;  // the token; it need not exist until a text needs it
  std::string word_prefix;  // of every character but a word's first: "continuing_subword_prefix"
  std::string word_suffix;  // of a word's last character: "end_of_word_suffix"
  bool fuse_unknown = false;
  bool byte_fallback = false;
  bool ignore_merges = false;  // a whole word of the vocabulary is taken as it is
};

constexpr std::string_view kMetaspace = "\xE2\x96\x81";  // ▁

class Bpe : public Model {
 public:
  Bpe(Vocab vocab, BpeOptions options, FlatMap<Merge> merges, bool cuts_before_metaspace);

  std::unique_ptr<WordEncoder> new_encoder() const override;

  const BpeOptions& options() const { return options_; }
  const Merge* merge_of(TokenId left, TokenId right) const {
    return merges_.find(pair_of(left, right));
  }
  TokenId id_of_character(char32_t c, std::string_view utf8) const {
    return c < kTableSize ? characters_[c] : vocab().id_of(utf8).value_or(kNone);
  }
  TokenId id_of_byte(char byte) const { return bytes_[static_cast<unsigned char>(byte)]; }

  // True when no merge can cross the place before a ▁ that follows another character. A text
  // without pre-tokenizer may then be cut there, word by word, with the same result.
  bool cuts_before_metaspace() const { return cuts_before_metaspace_; }

  static constexpr TokenId kNone = -1;

 private:
  static constexpr char32_t kTableSize = 0x3000;  // the characters looked up without hashing

  BpeOptions options_;
  FlatMap<Merge> merges_;
  bool cuts_before_metaspace_;
  std::vector<TokenId> characters_;
  std::vector<TokenId> bytes_;
};

Bpe::Bpe(Vocab vocab, BpeOptions options, FlatMap<Merge> merges, bool cuts_before_metaspace)
    : Model(std::move(vocab)),
      options_(std::move(options)),
      merges_(std::move(merges)),
      cuts_before_metaspace_(cuts_before_metaspace),
      characters_(kTableSize, kNone),
      bytes_(256, kNone) {
  std::string utf8;
  for (char32_t c = 0; c < kTableSize; ++c) {
    utf8.clear();
    append_code_point(utf8, c);
    characters_[c] = this->vocab().id_of(utf8).value_or(kNone);
  }
  for (int byte = 0; byte < 256; ++byte) {
    bytes_[byte] = this->vocab().id_of_byte(static_cast<unsigned char>(byte)).value_or(kNone);
  }
}

class BpeEncoder : public WordEncoder {
 public:
  explicit BpeEncoder(const Bpe& model) : model_(model) {}

  void encode(std::string_view piece, std::vector<TokenId>& out) override {
    if (!model_.cuts_before_metaspace()) return encode_cached(piece, out);
    std::size_t begin = 0;
    while (begin < piece.size()) {
      const std::size_t end = next_cut(piece, begin);
      encode_cached(piece.substr(begin, end - begin), out);
      begin = end;
    }
  }

 private:
  struct Symbol {
    TokenId id;
    std::int32_t previous;  // -1: none
    std::int32_t next;      // -1: none
    bool merged_away;
  };
  struct Candidate {
    std::uint64_t order;  // rank, then position: the smallest is merged first
    TokenId product;
    bool operator<(const Candidate& other) const { return order > other.order; }  // for a min-heap
  };

  // The start of the next run of ▁ behind the one that begins the word.
  static std::size_t next_cut(std::string_view piece, std::size_t begin) {
    std::size_t at = begin;
    while (piece.substr(at).starts_with(kMetaspace)) at += kMetaspace.size();
    return std::min(piece.find(kMetaspace, at), piece.size());
  }

  void encode_cached(std::string_view word, std::vector<TokenId>& out) {
    if (cache_.append(word, out)) return;
    const std::size_t before = out.size();
    encode_word(word, out);
    cache_.remember(word, std::span(out).subspan(before));
  }

  void encode_word(std::string_view word, std::vector<TokenId>& out) {
    if (model_.options().ignore_merges) {
      if (const auto id = model_.vocab().id_of(word)) return out.push_back(*id);
    }
    split_into_characters(word);
    merge_all();
    for (const Symbol& symbol : symbols_) {
      if (!symbol.merged_away) out.push_back(symbol.id);
    }
  }

  void append(TokenId id) {
    const auto position = static_cast<std::int32_t>(symbols_.size());
    symbols_.push_back({id, position - 1, position + 1, false});
  }

  void flush_unknown() {
    if (unknown_pending_) append(unknown());
    unknown_pending_ = false;
  }

  TokenId unknown() const {
    const auto id = model_.vocab().id_of(*model_.options().unknown);
    if (!id)
      fail(ErrorKind::kValue, "the unknown token {:?} is not in the vocabulary",
           *model_.options().unknown);
    return *id;
  }

  void split_into_characters(std::string_view word) {
    symbols_.clear();
    unknown_pending_ = false;
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t begin = at;
      const char32_t c = next_code_point(word, at);
      const std::string_view bytes = word.substr(begin, at - begin);
      const TokenId id = id_of_character(c, bytes, begin == 0, at == word.size());
      if (id != Bpe::kNone) {
        flush_unknown();
        append(id);
      } else {
        append_unknown(bytes);
      }
    }
    flush_unknown();
    if (!symbols_.empty()) symbols_.back().next = -1;
  }

  TokenId id_of_character(char32_t c, std::string_view bytes, bool first, bool last) {
    const BpeOptions& options = model_.options();
    decorated_.clear();
    if (!first) decorated_ += options.word_prefix;
    if (decorated_.empty() && (!last || options.word_suffix.empty()))
      return model_.id_of_character(c, bytes);
    decorated_ += bytes;
    if (last) decorated_ += options.word_suffix;
    return model_.vocab().id_of(decorated_).value_or(Bpe::kNone);
  }

  // A character outside the vocabulary becomes its bytes if all of them are tokens, else the
  // unknown token; without one it is dropped. As in the original, an unknown token that waits to be
  // fused comes behind the bytes.
  void append_unknown(std::string_view character) {
    const std::string_view bytes = decorated_.empty() ? character : std::string_view(decorated_);
    if (model_.options().byte_fallback && std::all_of(bytes.begin(), bytes.end(), [&](char b) {
          return model_.id_of_byte(b) != Bpe::kNone;
        })) {
      for (const char byte : bytes) append(model_.id_of_byte(byte));
    } else if (model_.options().unknown) {
      if (!model_.options().fuse_unknown) flush_unknown();
      unknown_pending_ = true;
    }
  }

  void propose(std::int32_t left, std::int32_t right) {
    const Merge* merge = model_.merge_of(symbols_[left].id, symbols_[right].id);
    if (!merge) return;
    const auto position = static_cast<std::uint32_t>(left);
    candidates_.push_back({std::uint64_t{merge->rank} << 32 | position, merge->product});
    std::push_heap(candidates_.begin(), candidates_.end());
  }

  void merge_all() {
    candidates_.clear();
    for (std::size_t i = 0; i + 1 < symbols_.size(); ++i) {
      propose(static_cast<std::int32_t>(i), static_cast<std::int32_t>(i) + 1);
    }
    while (!candidates_.empty()) {
      std::pop_heap(candidates_.begin(), candidates_.end());
      const Candidate best = candidates_.back();
      candidates_.pop_back();
      apply(best);
    }
  }

  // A candidate may be out of date: its symbols were merged meanwhile. It still counts when what
  // stands there now has the same product.
  void apply(const Candidate& candidate) {
    const auto position = static_cast<std::int32_t>(candidate.order & 0xFFFFFFFFu);
    Symbol& left = symbols_[position];
    if (left.merged_away || left.next < 0) return;
    Symbol& right = symbols_[left.next];
    const Merge* merge = model_.merge_of(left.id, right.id);
    if (!merge || merge->product != candidate.product) return;
    left.id = candidate.product;
    left.next = right.next;
    right.merged_away = true;
    if (left.next >= 0) symbols_[left.next].previous = position;
    if (left.previous >= 0) propose(left.previous, position);
    if (left.next >= 0) propose(position, left.next);
  }

  const Bpe& model_;
  WordCache cache_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> candidates_;
  std::string decorated_;  // a character with prefix and suffix; empty when it has neither
  bool unknown_pending_ = false;
};

std::unique_ptr<WordEncoder> Bpe::new_encoder() const {
  return std::make_unique<BpeEncoder>(*this);
}

TokenId id_in(const Vocab& vocab, std::string_view token, const Fields& fields, std::size_t rank) {
  const auto id = vocab.id_of(token);
  if (!id) {
    fail(ErrorKind::kValue, "{}.merges[{}]: the token {:?} is not in the vocabulary",
         fields.where(), rank, token);
  }
  return *id;
}

// True when ▁ stands behind another character somewhere in the token.
bool holds_inner_metaspace(std::string_view token) {
  std::size_t at = 0;
  while (token.substr(at).starts_with(kMetaspace)) at += kMetaspace.size();
  return token.find(kMetaspace, at) != std::string_view::npos;
}

void refuse_dropout(const Fields& fields) {
  const Json* dropout = fields.find("dropout");
  if (!dropout || (dropout->is_number() && *dropout == 0)) return;
  throw Error(ErrorKind::kNotImplemented,
              fmt::format("{}: is {}; dropout makes ids random and is only of use in training",
                          fields.where("dropout"), dropout->dump()),
              "set it to null in the file");
}

}  // namespace

std::unique_ptr<Model> read_bpe(const Fields& fields, TokenizerDocument& document) {
  refuse_dropout(fields);
  Vocab vocab = take_vocab(fields, document);
  BpeOptions options;
  options.word_prefix = fields.string("continuing_subword_prefix", "");
  options.word_suffix = fields.string("end_of_word_suffix", "");
  options.fuse_unknown = fields.boolean("fuse_unk", false);
  options.byte_fallback = fields.boolean("byte_fallback", false);
  options.ignore_merges = fields.boolean("ignore_merges", false);
  if (fields.has("unk_token")) options.unknown = fields.string("unk_token");

  if (!document.merges) fail(ErrorKind::kValue, "{}: needs an array", fields.where("merges"));
  const MergeList& list = *document.merges;
  FlatMap<Merge> merges(list.size());
  bool cuts_before_metaspace = vocab.id_of(kMetaspace) && options.word_prefix.empty() &&
                               options.word_suffix.empty() && !options.ignore_merges;
  std::string product;
  for (std::size_t rank = 0; rank < list.size(); ++rank) {
    const auto [left, right] = list[rank];
    if (right.size() < options.word_prefix.size()) {
      fail(ErrorKind::kValue, "{}.merges[{}]: {:?} lacks the prefix", fields.where(), rank, right);
    }
    product.assign(left).append(right.substr(options.word_prefix.size()));
    cuts_before_metaspace = cuts_before_metaspace && !holds_inner_metaspace(product);
    merges[pair_of(id_in(vocab, left, fields, rank), id_in(vocab, right, fields, rank))] = {
        static_cast<std::uint32_t>(rank), id_in(vocab, product, fields, rank)};
  }
  return std::make_unique<Bpe>(std::move(vocab), std::move(options), std::move(merges),
                               cuts_before_metaspace);
}

}  // namespace quanthost::text
