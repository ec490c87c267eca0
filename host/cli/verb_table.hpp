// The verbs and options of a command line as data: what help, completion and man pages are made of.
#pragma once

#include <string>
#include <vector>

#include "host/base/json.hpp"

namespace quanthost::cli {

struct OptionEntry {
  std::vector<std::string> names;  // "--json", "-q"; of a positional argument its name alone
  std::string help;
  bool positional = false;
  bool required = false;
  bool takes_value = false;
  bool repeatable = false;
  std::vector<std::string> choices;  // empty: any value
};

struct VerbEntry {
  std::string name;  // of the root: the program
  std::string summary;
  std::string examples;  // lines as the help shows them
  std::vector<OptionEntry> options;
  std::vector<VerbEntry> verbs;
};

OrderedJson to_json(const VerbEntry& verb);
VerbEntry verb_from_json(const OrderedJson& document);

}  // namespace quanthost::cli
