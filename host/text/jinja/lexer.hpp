// Cuts a template into text, and the tokens inside {{ }} and {% %}.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quanthost::text::jinja {

enum class TokenKind {
  kText,
  kOutputBegin,
  kOutputEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kSign,
  kEnd
};

struct Token {
  TokenKind kind;
  std::string text;  // without quotes and escapes for strings
  int line;
};

// Follows the settings that transformers uses: trim_blocks and lstrip_blocks on, one final newline
// dropped.
std::vector<Token> tokenize(std::string_view source);

}  // namespace quanthost::text::jinja
