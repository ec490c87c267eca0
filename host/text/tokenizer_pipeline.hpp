// The parts of a tokenizer as its file describes them, and the ways of a text through them.
#pragma once

#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "host/text/added_tokens.hpp"
#include "host/text/decoder.hpp"
#include "host/text/model.hpp"
#include "host/text/normalizer.hpp"
#include "host/text/post_processor.hpp"
#include "host/text/pre_tokenizer.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::text {

// Lends every caller an encoder of its own, so that encoding is safe from any thread and still
// keeps its caches.
class EncoderPool {
 public:
  explicit EncoderPool(const Model& model) : model_(model) {}

  std::unique_ptr<WordEncoder> borrow() {
    std::lock_guard lock(mutex_);
    if (idle_.empty()) return model_.new_encoder();
    auto encoder = std::move(idle_.back());
    idle_.pop_back();
    return encoder;
  }
  void give_back(std::unique_ptr<WordEncoder> encoder) {
    std::lock_guard lock(mutex_);
    idle_.push_back(std::move(encoder));
  }

 private:
  const Model& model_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<WordEncoder>> idle_;
};

struct Tokenizer::Pipeline {
  Pipeline(const Fields& file, TokenizerDocument& document);

  std::vector<TokenId> encode_text(std::string_view text) const;

  std::unique_ptr<Model> model;
  std::unique_ptr<Normalizer> normalizer;  // these four may be null
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::unique_ptr<PostProcessor> post_processor;
  std::unique_ptr<Decoder> decoder;
  AddedTokens added_tokens;
  mutable EncoderPool encoders;

 private:
  void encode_part(std::string_view part, bool at_start, WordEncoder& encoder,
                   std::vector<TokenId>& ids) const;
};

}  // namespace quanthost::text
