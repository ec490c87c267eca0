// Settings: values of options that come from the environment or a configuration file when the
// command line does not give them. The order is flag, environment, file, default.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/cli/command_line.hpp"
#include "host/plugins/search_path.hpp"

namespace quanthost::cli {

enum class SettingKind { kText, kSwitch, kPathList };

struct SettingSpec {
  const char* key;       // in quanthost.yaml
  const char* option;    // its long name, without the dashes
  const char* variable;  // in the environment
  SettingKind kind;
  const char* standard;  // what holds when nobody says anything, for people
  const char* help;
};
const std::vector<SettingSpec>& setting_specs();

struct SettingValue {
  std::vector<std::string> values;
  std::string origin;  // "--color", "QUANTHOST_COLOR", "/home/…/quanthost.yaml:3" or "default"
};

class Settings {
 public:
  // The files that are read, the first one first: --config or QUANTHOST_CONFIG alone, or the user's
  // before the system's.
  struct File {
    std::filesystem::path path;
    std::string origin;  // "--config", "QUANTHOST_CONFIG", "user" or "system"
    bool named = false;  // somebody asked for this very file: it has to exist
  };
  static std::vector<File> files(const SearchContext& context, const std::string& config_option);

  // Throws kValue with file and line for a key that is unknown (with the nearest one) and a value
  // of the wrong kind; kOs when a file that was named does not exist.
  void read(const SearchContext& context, const std::string& config_option);
  // Gives the verb what its command line left open, and keeps where every value came from.
  void apply(ParsedOptions& options);

  // Where the value of this key came from and what it is; "default" with no value when from
  // nowhere.
  const SettingValue& find(const std::string& key) const;

 private:
  void read_file(const std::filesystem::path& file);
  void read_environment(const SearchContext& context);

  std::map<std::string, SettingValue> values_;
};

}  // namespace quanthost::cli
