#include "host/text/tokenizer.hpp"

#include "host/text/tokenizer_pipeline.hpp"
#include "host/text/utf8.hpp"

namespace quanthost::text {
namespace {

template <typename Read>
auto read_optional(const Fields& file, const char* name, Read read) -> decltype(read(file)) {
  return file.has(name) ? read(file.object(name)) : nullptr;
}

AddedTokens read_added_tokens(const Fields& file, const Model& model,
                              const Normalizer* normalizer) {
  const Json* list = file.find("added_tokens");
  return list ? AddedTokens(*list, file.where("added_tokens"), model.vocab(), normalizer)
              : AddedTokens();
}

std::vector<TokenId> join(Encodings texts) {
  if (texts.size() == 1) return std::move(texts.front());
  std::vector<TokenId> ids;
  for (const auto& text : texts) ids.insert(ids.end(), text.begin(), text.end());
  return ids;
}

}  // namespace

Tokenizer::Pipeline::Pipeline(const Fields& file, TokenizerDocument& document)
    : model(read_model(file.object("model"), document)),
      normalizer(read_optional(file, "normalizer", read_normalizer)),
      pre_tokenizer(read_optional(file, "pre_tokenizer", read_pre_tokenizer)),
      post_processor(read_optional(file, "post_processor", read_post_processor)),
      decoder(read_optional(file, "decoder", read_decoder)),
      added_tokens(read_added_tokens(file, *model, normalizer.get())),
      encoders(*model) {}

std::vector<TokenId> Tokenizer::Pipeline::encode_text(std::string_view text) const {
  require_utf8(text);
  std::vector<TokenId> ids;
  std::unique_ptr<WordEncoder> encoder = encoders.borrow();
  added_tokens.split(text, AddedTokens::Stage::kRaw,
                     [&](std::string_view part, const AddedToken* token) {
                       if (token) return ids.push_back(token->id);
                       encode_part(part, part.data() == text.data(), *encoder, ids);
                     });
  encoders.give_back(std::move(encoder));
  return ids;
}

void Tokenizer::Pipeline::encode_part(std::string_view part, bool at_start, WordEncoder& encoder,
                                      std::vector<TokenId>& ids) const {
  std::string normalized;
  if (normalizer) {
    normalized = normalizer->normalized(part);
    part = normalized;
  }
  const PieceSink sink = [&](const Piece& piece) { encoder.encode(piece.text, ids); };
  added_tokens.split(part, AddedTokens::Stage::kNormalized,
                     [&](std::string_view text, const AddedToken* token) {
                       if (token) return ids.push_back(token->id);
                       const Piece piece{text, at_start && text.data() == part.data()};
                       pre_tokenizer ? pre_tokenizer->split(piece, sink) : sink(piece);
                     });
}

Tokenizer::Tokenizer(std::shared_ptr<const Pipeline> pipeline) : pipeline_(std::move(pipeline)) {}

Tokenizer Tokenizer::from_json(std::string_view json, std::string_view where) {
  TokenizerDocument document = read_tokenizer_document(json, std::string(where));
  const Fields file(document.rest, std::string(where));
  const std::string version = file.string("version", "1.0");
  if (version != "1.0")
    fail(ErrorKind::kNotImplemented, "{}: is {:?}, known is \"1.0\"", file.where("version"),
         version);
  return Tokenizer(std::make_shared<const Pipeline>(file, document));
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  std::vector<TokenId> ids = pipeline_->encode_text(text);
  if (!pipeline_->post_processor) return ids;
  Encodings texts;
  texts.push_back(std::move(ids));
  return join(pipeline_->post_processor->process(std::move(texts), special));
}

std::vector<TokenId> Tokenizer::encode_pair(std::string_view first, std::string_view second,
                                            SpecialTokens special) const {
  Encodings texts = {pipeline_->encode_text(first), pipeline_->encode_text(second)};
  if (pipeline_->post_processor)
    texts = pipeline_->post_processor->process(std::move(texts), special);
  return join(std::move(texts));
}

std::string Tokenizer::decode(std::span<const TokenId> ids, SpecialTokens special) const {
  std::vector<std::string> tokens;
  for (const TokenId id : ids) {
    const AddedToken* added = pipeline_->added_tokens.find(id);
    std::optional<std::string> token = added ? added->normal_form : token_of(id);
    if (!token) continue;
    if (special == SpecialTokens::kOmit && pipeline_->added_tokens.is_special(*token)) continue;
    tokens.push_back(std::move(*token));
  }
  if (pipeline_->decoder) tokens = pipeline_->decoder->decode(std::move(tokens));
  std::string text;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0 && !pipeline_->decoder) text += ' ';
    text += tokens[i];
  }
  return text;
}

std::optional<TokenId> Tokenizer::id_of(std::string_view token) const {
  const auto id = pipeline_->added_tokens.id_of(token);
  return id ? id : pipeline_->model->vocab().id_of(token);
}

std::optional<std::string> Tokenizer::token_of(TokenId id) const {
  if (const AddedToken* token = pipeline_->added_tokens.find(id)) return token->content;
  const auto token = pipeline_->model->vocab().token_of(id);
  return token ? std::optional(std::string(*token)) : std::nullopt;
}

bool Tokenizer::is_special(TokenId id) const {
  const auto token = token_of(id);
  return token && pipeline_->added_tokens.is_special(*token);
}

std::size_t Tokenizer::vocab_size() const {
  const Vocab& vocab = pipeline_->model->vocab();
  return vocab.size() + pipeline_->added_tokens.count_outside(vocab);
}

}  // namespace quanthost::text
