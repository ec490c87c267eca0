// tokenize_tool FOLDER|tokenizer.json: one JSON string a line on stdin becomes {"ids", "bare",
// "text", "shown"} a line on stdout: ids with and without special tokens, and the text decoded
// without and with them. For the interop tests.
#include <fstream>
#include <iostream>
#include <sstream>

#include "host/base/json.hpp"
#include "host/text/tokenizer.hpp"

namespace text = quanthost::text;

text::Tokenizer open(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) return text::Tokenizer::load(path);
  std::ifstream file(path, std::ios::binary);
  std::ostringstream json;
  json << file.rdbuf();
  return text::Tokenizer::from_json(std::move(json).str(), path.string());
}

int main(int argc, char** argv) try {
  if (argc != 2)
    quanthost::fail(quanthost::ErrorKind::kValue, "usage: tokenize_tool FOLDER|tokenizer.json");
  const text::Tokenizer tokenizer = open(argv[1]);
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    const auto input = quanthost::parse_json(line, "stdin").get<std::string>();
    const auto ids = tokenizer.encode(input);
    std::cout << quanthost::Json{{"ids", ids},
                                 {"bare", tokenizer.encode(input, text::SpecialTokens::kOmit)},
                                 {"text", tokenizer.decode(ids)},
                                 {"shown", tokenizer.decode(ids, text::SpecialTokens::kAdd)}}
              << '\n';
  }
  return 0;
} catch (const quanthost::Error& error) {
  std::cerr << "error: " << error.what() << '\n';
  return 1;
}
