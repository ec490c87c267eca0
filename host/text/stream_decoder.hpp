// Text as it is generated, token by token, in whole characters.
#pragma once

#include <string>
#include <vector>

#include "host/text/tokenizer.hpp"

namespace quanthost::text {

// One thread at a time. The parts put together are what decode() gives for all ids, wherever
// decoding one more token only adds text.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, SpecialTokens special = SpecialTokens::kOmit);

  // The text that the token completes; empty while a character is not whole yet.
  std::string push(TokenId id);

  // What is still held back, U+FFFD standing for what never became a character. Starts anew
  // afterwards.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  SpecialTokens special_;
  // Tokens are decoded together with those before them, since a token's text depends on its
  // neighbours (leading spaces, the bytes of one character): ids_ holds the tokens given out last,
  // then those that are waiting.
  std::vector<TokenId> ids_;
  std::size_t given_ids_ = 0;
  std::string given_text_;  // of the first given_ids_ ids
};

}  // namespace quanthost::text
