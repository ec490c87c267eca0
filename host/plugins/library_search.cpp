#include "host/plugins/library_search.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

namespace quanthost {
namespace {

namespace fs = std::filesystem;

constexpr std::array kDefaultDirectories {
#if defined(__x86_64__)
  "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
#elif defined(__aarch64__)
  "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
#endif
      "/lib64", "/usr/lib64", "/lib", "/usr/lib"
};

bool file_exists(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// $ORIGIN and ${ORIGIN} are the directory of the file that needs the library.
fs::path expanded(std::string entry, const fs::path& origin) {
  for (const char* name : {"$ORIGIN", "${ORIGIN}"}) {
    for (auto at = entry.find(name); at != entry.npos;
         at = entry.find(name, at + origin.string().size())) {
      entry.replace(at, std::strlen(name), origin.string());
    }
  }
  return entry;
}

template <typename T>
T load(std::string_view content, std::size_t at) {
  T value{};
  std::memcpy(&value, content.data() + at, sizeof value);
  return value;
}

std::string_view text_at(std::string_view content, std::uint32_t at) {
  if (at >= content.size()) return {};
  const auto end = content.find('\0', at);
  return end == content.npos ? std::string_view{} : content.substr(at, end - at);
}

}  // namespace

std::unordered_map<std::string, std::string> parse_loader_cache(std::string_view content) {
  constexpr std::string_view kMagic = "glibc-ld.so.cache1.1";
  constexpr std::size_t kHeaderSize = 48, kEntrySize = 24, kCountAt = 20;
  std::unordered_map<std::string, std::string> out;
  // Older systems put the previous format in front of it.
  const auto begin = content.find(kMagic);
  if (begin == content.npos || content.size() - begin < kHeaderSize) return out;
  content.remove_prefix(begin);
  const std::uint64_t count = std::min<std::uint64_t>(load<std::uint32_t>(content, kCountAt),
                                                      (content.size() - kHeaderSize) / kEntrySize);
  constexpr std::uint32_t kElfLibc6 = 3, kTypeMask = 0xff;
#if defined(__x86_64__)
  constexpr std::uint32_t kMachine = 0x0300;
#elif defined(__aarch64__)
  constexpr std::uint32_t kMachine = 0x0a00;
#else
  constexpr std::uint32_t kMachine = 0;
#endif
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::size_t at = kHeaderSize + i * kEntrySize;
    const auto flags = load<std::uint32_t>(content, at);
    if ((flags & kTypeMask) != kElfLibc6 || (flags & ~kTypeMask) != kMachine) continue;
    const auto name = text_at(content, load<std::uint32_t>(content, at + 4));
    const auto path = text_at(content, load<std::uint32_t>(content, at + 8));
    if (!name.empty() && !path.empty()) out.try_emplace(std::string(name), path);
  }
  return out;
}

LibrarySearch::LibrarySearch(bool privileged) {
  if (const char* text = std::getenv("LD_LIBRARY_PATH"); text && !privileged) {
    const std::string_view all(text);
    for (std::size_t begin = 0; begin <= all.size();) {
      const std::size_t end = std::min(all.find_first_of(":;", begin), all.size());
      if (end > begin) environment_path_.emplace_back(all.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  std::ifstream file("/etc/ld.so.cache", std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  cache_ = parse_loader_cache(content);
}

std::optional<fs::path> LibrarySearch::find(const std::string& name,
                                            const std::vector<std::string>& run_path,
                                            const fs::path& origin) const {
  if (name.find('/') != name.npos) {
    const fs::path path = expanded(name, origin);
    return file_exists(path) ? std::optional(path) : std::nullopt;
  }
  for (const fs::path& directory : environment_path_) {
    if (file_exists(directory / name)) return directory / name;
  }
  for (const std::string& entry : run_path) {
    const fs::path path = expanded(entry, origin) / name;
    if (file_exists(path)) return path;
  }
  if (const auto cached = cache_.find(name); cached != cache_.end()) {
    if (file_exists(cached->second)) return cached->second;
  }
  for (const char* directory : kDefaultDirectories) {
    if (file_exists(fs::path(directory) / name)) return fs::path(directory) / name;
  }
  return std::nullopt;
}

std::vector<std::string> LibrarySearch::missing(const ElfFile::Dynamic& dynamic,
                                                const fs::path& origin) const {
  std::vector<std::string> out;
  for (const std::string& name : dynamic.needed) {
    if (!find(name, dynamic.run_path, origin)) out.push_back(name);
  }
  return out;
}

}  // namespace quanthost
