// The built hostile plugins, and ways to spoil a good file further.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/cli/command.hpp"
#include "tests/folders.hpp"

namespace quanthost::test {

inline fs::path hostile(const std::string& name) {
  return fs::path(build_folder()) / "tests/hostile_plugins" / (name + ".so");
}

inline void put(const Command& command, const std::string& name) {
  fs::copy_file(hostile(name), command.plugins() / (name + ".so"));
}

inline std::string bytes_of(const fs::path& path) { return Command::read(path); }

inline void write_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
}

inline void patch(std::string& bytes, std::size_t at, std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) bytes.at(at + i) = static_cast<char>(value >> (8 * i));
}

inline std::uint64_t read_u64(const std::string& bytes, std::size_t at) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i)
    value |= std::uint64_t{static_cast<unsigned char>(bytes.at(at + i))} << (8 * i);
  return value;
}

// The entry of `list --json` for a label.
inline Json entry(const Json& listing, const std::string& id) {
  for (const Json& plugin : listing.at("plugins")) {
    if (plugin.at("id") == id) return plugin;
  }
  return nullptr;
}

}  // namespace quanthost::test
