// Verbs, options and help of a command line. CLI11 stays behind this door.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

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
  Verb& run(std::function<int()> body);
  Verb verb(const std::string& name, const std::string& summary, const std::string& examples);

 private:
  friend class CommandLine;
  struct Runs;
  Verb(CLI::App* app, Runs* runs) : app_(app), runs_(runs) {}

  CLI::App* app_;
  Runs* runs_;
};

class CommandLine {
 public:
  CommandLine(const std::string& name, const std::string& summary, const std::string& footer);
  ~CommandLine();

  Verb root();
  std::vector<std::string> verb_names() const;  // of the first level
  // Parses and runs the chosen verb; returns its exit code. Help goes to stdout and returns 0.
  // Throws CommandError (kUsage) for anything that is not understood, with the nearest known word
  // as a hint.
  int execute(const std::vector<std::string>& arguments);

 private:
  std::unique_ptr<CLI::App> app_;
  std::unique_ptr<Verb::Runs> runs_;
};

}  // namespace quanthost::cli
