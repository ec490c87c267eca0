// The text of one generation, from its tokens: whole characters as they come, up to a stop string.
#pragma once

#include <string>
#include <vector>

#include "host/text/stop_strings.hpp"
#include "host/text/stream_decoder.hpp"

namespace quanthost::text {

// One thread at a time; one object a text.
class GeneratedText {
 public:
  // Throws kValue when a stop string is empty.
  GeneratedText(const Tokenizer& tokenizer, std::vector<std::string> stops)
      : decoder_(tokenizer), stops_(std::move(stops)) {}

  // The text that the token completes and that may be shown now.
  std::string push(TokenId token) { return stops_.push(decoder_.push(token)); }
  // The generation has ended: what was held back.
  std::string finish() {
    std::string rest = stops_.push(decoder_.finish());
    return rest + stops_.finish();
  }
  bool stopped() const { return stops_.reached(); }  // by a stop string

 private:
  StreamDecoder decoder_;
  StopStrings stops_;
};

}  // namespace quanthost::text
