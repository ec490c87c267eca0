// Unigram (SentencePiece): of all ways to cut a text into tokens, the one with the largest sum of
// scores.
#include <algorithm>
#include <limits>

#include "host/text/byte_trie.hpp"
#include "host/text/model.hpp"
#include "host/text/utf8.hpp"
#include "host/text/word_cache.hpp"

namespace quanthost::text {
namespace {

constexpr double kUnknownPenalty = 10.0;  // below the worst score of the vocabulary

class Unigram : public Model {
 public:
  Unigram(Vocab vocab, std::vector<double> scores, ByteTrie trie, std::optional<TokenId> unknown,
          bool byte_fallback)
      : Model(std::move(vocab)),
        scores_(std::move(scores)),
        trie_(std::move(trie)),
        unknown_(unknown),
        byte_fallback_(byte_fallback),
        unknown_score_(*std::min_element(scores_.begin(), scores_.end()) - kUnknownPenalty) {}

  std::unique_ptr<WordEncoder> new_encoder() const override {
    return std::make_unique<Encoder>(*this);
  }

 private:
  class Encoder : public WordEncoder {
   public:
    explicit Encoder(const Unigram& model) : model_(model) {}

    void encode(std::string_view piece, std::vector<TokenId>& out) override {
      if (cache_.append(piece, out)) return;
      const std::size_t before = out.size();
      find_best_path(piece);
      walk_back(piece.size());
      for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
        append(piece.substr(part->begin, part->end - part->begin), out);
      }
      cache_.remember(piece, std::span(out).subspan(before));
    }

   private:
    struct Node {  // the best path that ends at a byte
      double score = 0;
      std::size_t begin = kUnreached;  // of its last token
      TokenId id = 0;
    };
    struct Part {
      std::size_t begin;
      std::size_t end;
      bool unknown;
    };
    static constexpr std::size_t kUnreached = std::numeric_limits<std::size_t>::max();

    void offer(std::size_t begin, std::size_t end, double score, TokenId id) {
      Node& node = nodes_[end];
      if (node.begin == kUnreached || score > node.score) node = {score, begin, id};
    }

    void find_best_path(std::string_view text) {
      nodes_.assign(text.size() + 1, Node{});
      for (std::size_t begin = 0; begin < text.size();) {
        const double score = nodes_[begin].score;
        const std::size_t character = sequence_length(text[begin]);
        bool covered = false;
        model_.trie_.prefixes(text.substr(begin), [&](std::size_t length, TokenId id) {
          offer(begin, begin + length, score + model_.scores_[id], id);
          covered = covered || length == character;
        });
        if (!covered) offer(begin, begin + character, score + model_.unknown_score_, unknown());
        begin += character;
      }
    }

    // Collects the path's tokens from the last to the first; unknown neighbours become one.
    void walk_back(std::size_t end) {
      parts_.clear();
      while (end > 0) {
        const Node& node = nodes_[end];
        const bool is_unknown = model_.unknown_ && node.id == *model_.unknown_;
        if (is_unknown && !parts_.empty() && parts_.back().unknown) {
          parts_.back().begin = node.begin;
        } else {
          parts_.push_back({node.begin, end, is_unknown});
        }
        end = node.begin;
      }
    }

    void append(std::string_view part, std::vector<TokenId>& out) const {
      if (const auto id = model_.vocab().id_of(part)) return out.push_back(*id);
      const std::size_t before = out.size();
      for (const char byte : part) {
        const auto id = model_.byte_fallback_
                            ? model_.vocab().id_of_byte(static_cast<unsigned char>(byte))
                            : std::nullopt;
        if (!id) {
          out.resize(before);
          return out.push_back(unknown());
        }
        out.push_back(*id);
      }
    }

    TokenId unknown() const {
      if (!model_.unknown_) {
        fail(ErrorKind::kValue,
             "the text has a character outside the vocabulary, and the model has no \"unk_id\"");
      }
      return *model_.unknown_;
    }

    const Unigram& model_;
    WordCache cache_;
    std::vector<Node> nodes_;  // by byte
    std::vector<Part> parts_;
  };

  std::vector<double> scores_;  // by id
  ByteTrie trie_;
  std::optional<TokenId> unknown_;
  bool byte_fallback_;
  double unknown_score_;
};

}  // namespace

std::unique_ptr<Model> read_unigram(const Fields& fields) {
  const Json& list = fields.array("vocab");
  if (list.empty()) fail(ErrorKind::kValue, "{}: is empty", fields.where("vocab"));
  Vocab vocab = Vocab::of_list(list.size());
  ByteTrie trie;
  std::vector<double> scores;
  for (const Json& entry : list) {
    const auto id = static_cast<TokenId>(scores.size());
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      fail(ErrorKind::kValue, "{}[{}]: needs [token, score]", fields.where("vocab"), id);
    }
    const auto& token = entry[0].get_ref<const std::string&>();
    vocab.add(token, id);
    trie.insert(token, id);
    scores.push_back(entry[1].get<double>());
  }
  std::optional<TokenId> unknown;
  if (fields.has("unk_id")) unknown = fields.count("unk_id");
  if (unknown && static_cast<std::size_t>(*unknown) >= scores.size()) {
    fail(ErrorKind::kValue, "{}: is {}, but the vocabulary has {} tokens", fields.where("unk_id"),
         *unknown, scores.size());
  }
  return std::make_unique<Unigram>(std::move(vocab), std::move(scores), std::move(trie), unknown,
                                   fields.boolean("byte_fallback", false));
}

}  // namespace quanthost::text
