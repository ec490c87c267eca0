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
std::string model_type(const Fields& fields) {
  if (fields.has("type")) return fields.string("type");
  if (fields.has("merges")) return "BPE";
  if (fields.has("continuing_subword_prefix")) return "WordPiece";
  return fields.required("vocab").is_array() ? "Unigram" : "WordLevel";
}

}  // namespace

std::unique_ptr<Model> read_word_level(const Fields& fields) {
  return std::make_unique<WordLevel>(
      Vocab::from_json(fields.required("vocab"), fields.where("vocab")),
      fields.string("unk_token"));
}

std::unique_ptr<Model> read_model(const Fields& fields) {
  const std::string type = model_type(fields);
  if (type == "BPE") return read_bpe(fields);
  if (type == "WordPiece") return read_wordpiece(fields);
  if (type == "Unigram") return read_unigram(fields);
  if (type == "WordLevel") return read_word_level(fields);
  throw Error(ErrorKind::kNotImplemented,
              fmt::format("{}: the model type {:?} is not known", fields.where(), type),
              "known are BPE, WordPiece, Unigram and WordLevel");
}

}  // namespace quanthost::text
