// Verbs, options and help of a command line. CLI11 stays behind this door.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "host/cli/verb_table.hpp"

namespace CLI {
class App;
}

namespace quanthost::cli {

// One verb, e.g. "plugins list". The variables that options are read into must outlive the parse.
class Verb {
 public:
  Verb& flag(const std::string& name, bool& value, const std::string& help);
  Verb& option(const std::string& name, std::string& value, const std::string& help);
  Verb& options(const std::string& name, std::vector<std::string>& values,
                const std::string& help);  // may repeat
  Verb& choice(const std::string& name, std::string& value, const std::vector<std::string>& allowed,
               const std::string& help);
  Verb& argument(const std::string& name, std::string& value, const std::string& help);  // required
  Verb& optional_argument(const std::string& name, std::string& value, const std::string& help);
  Verb& arguments(const std::string& name, std::vector<std::string>& values,
                  const std::string& help);  // one or more
  Verb& optional_arguments(const std::string& name, std::vector<std::string>& values,
                           const std::string& help);  // any number
  Verb& choice_argument(const std::string& name, std::string& value,
                        const std::vector<std::string>& allowed, const std::string& help);
  Verb& group(const std::string& title);  // where the help lists this verb
  Verb& run(std::function<int()> body);
  Verb verb(const std::string& name, const std::string& summary, const std::string& examples);

 private:
  friend class CommandLine;
  struct Tables;
  Verb(CLI::App* app, Tables* tables) : app_(app), tables_(tables) {}
  OptionEntry& entry(const std::string& names, const std::string& help);

  CLI::App* app_;
  Tables* tables_;
};

// The options of the verb that was chosen, after the parse: for values that come from elsewhere.
class ParsedOptions {
 public:
  const std::string& verb() const { return verb_; }  // "plugins list"; empty for none
  bool has(const std::string& long_name) const;      // is it an option of this verb?
  std::vector<std::string> given(const std::string& long_name) const;  // empty: not given
  // As if it stood on the command line. Throws kValue with the option's own objection.
  void set(const std::string& long_name, const std::vector<std::string>& values);

 private:
  friend class CommandLine;
  ParsedOptions(CLI::App* app, std::string verb) : app_(app), verb_(std::move(verb)) {}
  CLI::App* app_;
  std::string verb_;
};

class CommandLine {
 public:
  CommandLine(const std::string& name, const std::string& summary, const std::string& footer);
  ~CommandLine();

  Verb root();
  std::vector<std::string> verb_names() const;  // of the first level
  VerbEntry table() const;
  // Called between the parse and the verb.
  void after_parse(std::function<void(ParsedOptions&)> body) { after_parse_ = std::move(body); }
  // Parses and runs the chosen verb; returns its exit code. Help goes to stdout and returns 0.
  // Throws CommandError (kUsage) for anything that is not understood, with the nearest known word
  // as a hint.
  int execute(const std::vector<std::string>& arguments);

 private:
  std::unique_ptr<CLI::App> app_;
  std::unique_ptr<Verb::Tables> tables_;
  std::function<void(ParsedOptions&)> after_parse_;
};

}  // namespace quanthost::cli
