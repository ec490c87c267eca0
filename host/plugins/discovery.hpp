// Finds plugins and judges them from their files alone: nothing is opened, no code of theirs runs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "host/plugins/environment.hpp"
#include "host/plugins/plugin_record.hpp"
#include "host/plugins/quarantine.hpp"
#include "host/plugins/registry_cache.hpp"

namespace quanthost {

struct DirectoryReport {
  SearchDirectory directory;
  bool exists = false;
  std::string
      fault;  // why its plugins are not trusted, or why it cannot be read; empty when neither
  std::size_t files = 0;
};

struct Discovery {
  std::vector<DirectoryReport> directories;
  // Sorted by id, then by preference: of one id the first is the one that counts, the others are
  // shadowed by it.
  std::vector<PluginRecord> plugins;
};

class Discoverer {
 public:
  // All borrowed. The cache gains what was read anew.
  Discoverer(const TrustSettings& trust, const LibrarySearch& libraries, RegistryCache& cache,
             const Quarantine& quarantine)
      : trust_(trust),
        libraries_(libraries),
        environment_(libraries),
        cache_(cache),
        quarantine_(quarantine) {}

  Discovery search(const std::vector<SearchDirectory>& path) const;
  // One file, wherever it lies; never throws for what the file is.
  PluginRecord judge(const std::filesystem::path& file, const std::string& origin,
                     const std::string& directory_fault) const;

 private:
  void judge_content(PluginRecord& record, const std::string& directory_fault) const;

  const TrustSettings& trust_;
  const LibrarySearch& libraries_;
  Environment environment_;
  RegistryCache& cache_;
  const Quarantine& quarantine_;
};

}  // namespace quanthost
