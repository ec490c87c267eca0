// Finds out, without loading anything, whether the dynamic loader would find the libraries a plugin
// needs.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "host/plugins/elf_file.hpp"

namespace quanthost {

class LibrarySearch {
 public:
  // `privileged`: LD_LIBRARY_PATH is ignored, as the loader does.
  explicit LibrarySearch(bool privileged);

  // Where a library of this name is, or nullopt. `origin` is the directory of the file that needs
  // it.
  std::optional<std::filesystem::path> find(const std::string& name,
                                            const std::vector<std::string>& run_path,
                                            const std::filesystem::path& origin) const;

  // The needed libraries that would not be found.
  std::vector<std::string> missing(const ElfFile::Dynamic& dynamic,
                                   const std::filesystem::path& origin) const;

 private:
  std::vector<std::filesystem::path> environment_path_;
  std::unordered_map<std::string, std::string> cache_;  // name -> path, from /etc/ld.so.cache
};

// Reads the loader's cache (glibc's format 1.1); unknown or corrupted content gives what could be
// read.
std::unordered_map<std::string, std::string> parse_loader_cache(std::string_view content);

}  // namespace quanthost
