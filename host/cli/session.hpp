// What every verb shares: the global options, the plugin host they lead to, and how results and
// errors are printed.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/json.hpp"
#include "host/cli/command_line.hpp"
#include "host/cli/exit_code.hpp"
#include "host/cli/settings.hpp"
#include "host/plugins/plugin_host.hpp"

namespace quanthost::cli {

class Session {
 public:
  void add_global_options(Verb root);
  // Between the parse and the verb: what the environment and the settings files say.
  void apply_settings(ParsedOptions& options);
  PluginHost& plugins();  // made on first use, from the options
  // Where an entry of the search path came from; settings are told from the variable they extend.
  std::string origin_of(const SearchDirectory& directory) const;
  const Settings& settings() const { return settings_; }
  const std::string& config_option() const { return config_file_; }
  // What is wrong with the settings, for the verbs that report it instead of failing.
  const std::string& settings_fault() const { return settings_fault_; }

  bool json() const { return json_; }
  bool quiet() const { return quiet_; }
  void set_json() {
    json_ = true;
  }  // an error before the options were read still has to come as JSON

  // One JSON document: {"schema": "quanthost.<name>", "schema_version": 1, …}.
  void print_json(std::string_view name, const OrderedJson& content) const;
  void print(std::string_view line) const;  // to stdout, with a newline
  // Marks text for a terminal; plain when stdout is none, with NO_COLOR and with --color never.
  bool colours() const;
  std::string good(std::string_view text) const { return coloured(text, "32"); }
  std::string bad(std::string_view text) const { return coloured(text, "31"); }
  std::string caution(std::string_view text) const { return coloured(text, "33"); }
  std::string dim(std::string_view text) const { return coloured(text, "2"); }

  // To stderr, or to stdout as {"error": …} with --json. Returns the exit code.
  int report(const Error& error) const;
  // The last frame of a verb: what it throws is reported, and so is output that cannot be written.
  int run_reporting(const std::function<int()>& body) const;

 private:
  std::string coloured(std::string_view text, const char* code) const;

  bool json_ = false, quiet_ = false, verbose_ = false, no_cache_ = false;
  std::string color_ = "auto", trust_, config_file_, settings_fault_;
  Settings settings_;
  std::string probe_limit_ = "10";
  std::vector<std::string> plugin_paths_;
  std::unique_ptr<PluginHost> plugins_;
};

// False with NO_COLOR and on a dumb terminal.
bool terminal_allows_styling();

// A table with columns as wide as their longest cell; the last one is not padded.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace quanthost::cli
