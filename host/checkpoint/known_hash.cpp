#include "host/checkpoint/known_hash.hpp"

#include <algorithm>
#include <sstream>

#include "host/base/file.hpp"

namespace quanthost {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kDigits = 64;
constexpr std::uint64_t kNoteBytes = 4096;

bool is_sha256(std::string_view text) {
  const auto digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return text.size() == kDigits && std::all_of(text.begin(), text.end(), digit);
}

}  // namespace

std::optional<std::string> known_sha256(const fs::path& file) {
  const fs::path real = fs::canonical(file);
  if (real.parent_path().filename() == "blobs" && is_sha256(real.filename().string()))
    return real.filename().string();
  // The commit, the hash (a shorter one for small files, of git) and the time, a line each.
  const fs::path note =
      file.parent_path() / ".cache/huggingface/download" / (file.filename().string() + ".metadata");
  if (!fs::exists(note)) return std::nullopt;
  std::istringstream lines(read_text_file(note, kNoteBytes));
  std::string commit, hash;
  lines >> commit >> hash;
  return is_sha256(hash) ? std::optional(hash) : std::nullopt;
}

}  // namespace quanthost
