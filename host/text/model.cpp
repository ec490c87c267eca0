#include "host/text/model.hpp"

namespace quanthost::text {
namespace {

class WordLevel : public Model {
 public:
  WordLevel(Vocab vocab, std::string unknown)
      : Model(std::move(vocab)), unknown_(std::move(unknown)) {}

  std::unique_ptr<WordEncoder> new_encoder() const override {
    return std::make_unique<Encoder>(*this);
  }

 private:
  struct Encoder : WordEncoder {
    explicit Encoder(const WordLevel& word_level) : model(word_level) {}

    void encode(std::string_view piece, std::vector<TokenId>& out) override {
      std::optional<TokenId> id = model.vocab().id_of(piece);
      if (!id) id = model.vocab().id_of(model.unknown_);
      if (!id) {
        fail(ErrorKind::kValue,
             "the word {:?} is not in the vocabulary, and neither is the unknown token {:?}", piece,
             model.unknown_);
      }
      out.push_back(*id);
    }

    const WordLevel& model;
  };

  std::string unknown_;
};

// Files older than the "type" field are told apart by what they hold.
std::string model_type(const Fields& fields, const TokenizerDocument& document) {
  if (fields.has("type")) return fields.string("type");
  if (document.merges) return "BPE";
  if (fields.has("continuing_subword_prefix")) return "WordPiece";
  return document.vocab ? "WordLevel" : "Unigram";
}

}  // namespace

Vocab take_vocab(const Fields& fields, TokenizerDocument& document) {
  if (!document.vocab)
    fail(ErrorKind::kValue, "{}: needs an object of tokens and ids", fields.where("vocab"));
  return std::move(*document.vocab);
}

std::unique_ptr<Model> read_word_level(const Fields& fields, TokenizerDocument& document) {
  return std::make_unique<WordLevel>(take_vocab(fields, document), fields.string("unk_token"));
}

std::unique_ptr<Model> read_model(const Fields& fields, TokenizerDocument& document) {
  const std::string type = model_type(fields, document);
  if (type == "BPE") return read_bpe(fields, document);
  if (type == "WordPiece") return read_wordpiece(fields, document);
  if (type == "Unigram") return read_unigram(fields);
  if (type == "WordLevel") return read_word_level(fields, document);
  throw Error(ErrorKind::kNotImplemented,
              fmt::format("{}: the model type {:?} is not known", fields.where(), type),
              "known are BPE, WordPiece, Unigram and WordLevel");
}

}  // namespace quanthost::text
