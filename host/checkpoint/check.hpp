// Verifies a checkpoint deeply: every file, every tensor, every byte.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "host/base/progress.hpp"

namespace quanthost {

enum class Severity {
  kError,    // it will not load, or not compute what it should
  kWarning,  // it loads, but something is not as a complete save leaves it
};

struct Finding {
  Severity severity = Severity::kError;
  std::string file;    // name within the directory
  std::string tensor;  // empty where the finding is about the file
  std::string message;
};

struct CheckReport {
  std::vector<Finding> findings;
  std::uint64_t files = 0;
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;  // of tensor data that was read

  bool sound() const;  // no finding is an error
};

// Goes on after a finding, so that one call names all that is wrong: headers, index against shards,
// JSON files, config.json against the tensors, NaN and infinity in floating-point tensors, booleans
// that are neither 0 nor 1. Throws only when `path` is not there at all, and when cancelled.
// Progress counts the bytes of tensor data.
CheckReport check_checkpoint(const std::filesystem::path& path, const ByteProgress& progress = {});

}  // namespace quanthost
