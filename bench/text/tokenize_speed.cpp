// tokenize_speed TOKENIZER.json TEXT REPEATS: the seconds of each encode() of the whole text, and
// the number of ids.
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "host/text/tokenizer.hpp"

std::string read(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

int main(int argc, char** argv) {
  if (argc != 4) return std::cerr << "usage: tokenize_speed TOKENIZER.json TEXT REPEATS\n", 2;
  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  const auto loading = Clock::now();
  const auto tokenizer = quanthost::text::Tokenizer::from_json(read(argv[1]), argv[1]);
  std::cout << "load " << seconds_since(loading) << '\n';
  const std::string text = read(argv[2]);
  for (int i = 0; i < std::atoi(argv[3]); ++i) {
    const auto begin = Clock::now();
    const std::size_t ids = tokenizer.encode(text).size();
    std::cout << "encode " << seconds_since(begin) << ' ' << ids << '\n';
  }
}
