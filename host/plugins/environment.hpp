// What this machine offers, as far as it can be told without loading a driver: CPU features, CUDA,
// HIP.
#pragma once

#include <optional>
#include <string>

#include "host/plugins/library_search.hpp"
#include "host/plugins/manifest.hpp"

namespace quanthost {

class Environment {
 public:
  explicit Environment(const LibrarySearch& libraries);  // borrowed

  // Why a plugin with these needs cannot be used here; empty when it can. Says what was found and
  // what was needed.
  std::string obstacle(const Manifest& manifest) const;

 private:
  std::string cuda_obstacle(const RuntimeNeed& need) const;
  std::string hip_obstacle(const RuntimeNeed& need) const;

  const LibrarySearch& libraries_;
};

// The highest CUDA version that an NVIDIA driver of this version runs, e.g. "580.65.06" -> 13.0.
std::optional<Version> cuda_version_of_driver(const Version& driver);

}  // namespace quanthost
