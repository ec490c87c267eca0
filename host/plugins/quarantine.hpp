// Plugins that crashed, hung or lied when they were probed: refused until the file or the host
// changes, or time passes.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>

#include "host/plugins/file_bytes.hpp"

namespace quanthost {

class Quarantine {
 public:
  using Clock = std::chrono::system_clock;
  static constexpr std::chrono::hours kLifetime{7 * 24};

  struct Entry {
    FileIdentity identity;
    std::string reason;       // one sentence
    std::string output_tail;  // the end of what it wrote to stderr
    Clock::time_point since, until;
  };

  // An empty path: nothing is kept between runs. A file that cannot be read counts as empty. Never
  // throws.
  explicit Quarantine(std::filesystem::path file, Clock::time_point now = Clock::now());

  const Entry* find(const std::filesystem::path& real_path,
                    const FileIdentity& identity) const;  // null: not held
  void add(const std::filesystem::path& real_path, const FileIdentity& identity, std::string reason,
           std::string output_tail);
  bool release(const std::filesystem::path& real_path);  // false when it was not held
  void save();

 private:
  void read();

  std::filesystem::path file_;
  Clock::time_point now_;
  std::map<std::string, Entry> entries_;
  bool changed_ = false;
};

}  // namespace quanthost
