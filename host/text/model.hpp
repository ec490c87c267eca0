// The heart of a tokenizer: turns one piece of text into ids of its vocabulary.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "host/text/tokenizer_document.hpp"
#include "host/text/vocab.hpp"

namespace quanthost::text {

// Works for one thread at a time and keeps what it learned (a cache of words) and its buffers
// between calls.
class WordEncoder {
 public:
  virtual ~WordEncoder() = default;
  virtual void encode(std::string_view piece, std::vector<TokenId>& out) = 0;
};

// Immutable, any thread.
class Model {
 public:
  explicit Model(Vocab vocab) : vocab_(std::move(vocab)) {}
  virtual ~Model() = default;

  const Vocab& vocab() const { return vocab_; }
  // The encoder refers to the model.
  virtual std::unique_ptr<WordEncoder> new_encoder() const = 0;

 private:
  Vocab vocab_;
};

// Reads the "model" of a tokenizer.json: BPE, WordPiece, Unigram or WordLevel. `fields` are those
// of document.rest; the vocabulary is moved out of the document.
std::unique_ptr<Model> read_model(const Fields& fields, TokenizerDocument& document);

// The vocabulary that is {"token": id, …}; throws where the file has none.
Vocab take_vocab(const Fields& fields, TokenizerDocument& document);

std::unique_ptr<Model> read_bpe(const Fields& fields, TokenizerDocument& document);
std::unique_ptr<Model> read_wordpiece(const Fields& fields, TokenizerDocument& document);
std::unique_ptr<Model> read_unigram(const Fields& fields);
std::unique_ptr<Model> read_word_level(const Fields& fields, TokenizerDocument& document);

}  // namespace quanthost::text
