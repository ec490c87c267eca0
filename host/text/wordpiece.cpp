// WordPiece (BERT): the longest token that fits, from left to right.
#include "host/text/model.hpp"
#include "host/text/utf8.hpp"
#include "host/text/word_cache.hpp"

namespace quanthost::text {
namespace {

class WordPiece : public Model {
 public:
  WordPiece(Vocab vocab, std::string unknown, std::string prefix, std::size_t max_characters)
      : Model(std::move(vocab)),
        unknown_(std::move(unknown)),
        prefix_(std::move(prefix)),
        max_characters_(max_characters) {}

  std::unique_ptr<WordEncoder> new_encoder() const override {
    return std::make_unique<Encoder>(*this);
  }

 private:
  class Encoder : public WordEncoder {
   public:
    explicit Encoder(const WordPiece& model) : model_(model) {}

    void encode(std::string_view word, std::vector<TokenId>& out) override {
      if (cache_.append(word, out)) return;
      const std::size_t before = out.size();
      if (!cover(word, out)) {
        out.resize(before);
        out.push_back(unknown());
      }
      cache_.remember(word, std::span(out).subspan(before));
    }

   private:
    // False when the word is too long or has a part that no token covers.
    bool cover(std::string_view word, std::vector<TokenId>& out) {
      if (count_code_points(word) > model_.max_characters_) return false;
      for (std::size_t begin = 0; begin < word.size();) {
        std::size_t end = word.size();
        std::optional<TokenId> id;
        while (begin < end && !(id = id_of(word.substr(begin, end - begin), begin > 0)))
          previous_code_point(word, end);
        if (!id) return false;
        out.push_back(*id);
        begin = end;
      }
      return true;
    }

    std::optional<TokenId> id_of(std::string_view part, bool continues) {
      if (!continues) return model_.vocab().id_of(part);
      prefixed_.assign(model_.prefix_).append(part);
      return model_.vocab().id_of(prefixed_);
    }

    TokenId unknown() const {
      const auto id = model_.vocab().id_of(model_.unknown_);
      if (!id)
        fail(ErrorKind::kValue, "the unknown token {:?} is not in the vocabulary", model_.unknown_);
      return *id;
    }

    const WordPiece& model_;
    WordCache cache_;
    std::string prefixed_;
  };

  std::string unknown_;
  std::string prefix_;
  std::size_t max_characters_;
};

}  // namespace

std::unique_ptr<Model> read_wordpiece(const Fields& fields, TokenizerDocument& document) {
  return std::make_unique<WordPiece>(
      take_vocab(fields, document), fields.string("unk_token"),
      fields.string("continuing_subword_prefix"),
      static_cast<std::size_t>(fields.count("max_input_chars_per_word")));
}

}  // namespace quanthost::text
