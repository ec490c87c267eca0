// Whole small files, with errors that name them.
#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "host/base/error.hpp"

namespace quanthost::text {

inline std::string read_text_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
  if (!file.is_open() || file.bad()) fail(ErrorKind::kOs, "{}: cannot be read", path.string());
  return std::move(text).str();
}

}  // namespace quanthost::text
