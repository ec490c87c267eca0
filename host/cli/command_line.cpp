#include "host/cli/command_line.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <map>
#include <sstream>

#include "host/base/nearest_name.hpp"
#include "host/cli/exit_code.hpp"

namespace quanthost::cli {

struct Verb::Tables {
  std::map<const CLI::App*, std::function<int()>> runs;
  std::map<const CLI::App*, VerbEntry> entries;  // without the verbs below, which CLI11 keeps
};

namespace {

CLI::App& chosen(CLI::App& app) {
  const auto below = app.get_subcommands();
  return below.empty() ? app : chosen(*below.front());
}

std::vector<CLI::App*> verbs_of(CLI::App& app) {
  return app.get_subcommands([](CLI::App*) { return true; });
}

std::vector<std::string> names_of_verbs(CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : verbs_of(app)) names.push_back(verb->get_name());
  return names;
}

// "plugins list"; empty for the program itself.
std::string path_of(const CLI::App* app) {
  if (!app->get_parent()) return "";
  const std::string above = path_of(app->get_parent());
  return above.empty() ? app->get_name() : above + " " + app->get_name();
}

std::string command_of(const CLI::App* app) {
  const std::string path = path_of(app);
  return path.empty() ? "quanthost" : "quanthost " + path;
}

std::vector<std::string> names_of_options(CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* at = &app; at; at = at->get_parent()) {
    for (const CLI::Option* option : at->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

// The option in this verb or above it; null when there is none.
CLI::Option* find_option(CLI::App* app, const std::string& long_name) {
  for (; app; app = app->get_parent()) {
    if (CLI::Option* option = app->get_option_no_throw("--" + long_name)) return option;
  }
  return nullptr;
}

std::string upper(std::string text) {
  for (char& letter : text)
    letter =
        letter == ' ' ? '-' : static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  return text;
}

// CLI11's help with the whole command in its usage line, and without words for machines.
class Help : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* app, std::string) const override {
    std::string line = "Usage: " + command_of(app) + " [OPTIONS]";
    for (const CLI::Option* option :
         app->get_options([](const CLI::Option* o) { return o->get_positional(); }))
      line += " " + make_option_usage(option);
    if (!app->get_subcommands([](const CLI::App*) { return true; }).empty()) line += " VERB";
    return line + "\n";
  }
  std::string make_option_name(const CLI::Option* option, bool positional) const override {
    const std::string name = CLI::Formatter::make_option_name(option, positional);
    return positional ? upper(name) : name;
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_positional() || option->get_type_size() == 0) return "";
    const std::string type = option->get_type_name();  // "TEXT", "TEXT:{a,b}"
    return " " + type.substr(type.find(':') + 1);
  }
  std::string make_footer(const CLI::App* app) const override {
    std::string text = CLI::Formatter::make_footer(app);
    if (!app->get_parent()) return text;
    return text + (text.empty() ? "" : "\n") +
           "Every verb also takes --json, -q, -v, --plugin-path and more: see 'quanthost "
           "--help'.\n";
  }
};

CLI::Validator one_of(const std::vector<std::string>& allowed) {
  const std::string list = fmt::format("{}", fmt::join(allowed, ", "));
  const auto check = [allowed, list](const std::string& value) {
    if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return std::string();
    return fmt::format("'{}' is not one of {}", value, list);
  };
  return {check, fmt::format("{{{}}}", fmt::join(allowed, ","))};
}

// What was not understood, and what may have been meant.
CommandError usage_error(CLI::App& root, const CLI::ParseError& error) {
  CLI::App& app = chosen(root);
  const auto left = root.remaining(true);
  const std::string see = fmt::format("see '{} --help'", command_of(&app));
  if (!dynamic_cast<const CLI::ExtrasError*>(&error) || left.empty()) {
    std::string what = error.what();
    if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) && what.ends_with("missing"))
      what = what.substr(0, what.find(':')) + " needs a value";
    if (dynamic_cast<const CLI::RequiredError*>(&error))
      what = fmt::format("the argument {} is missing", upper(what.substr(0, what.find(' '))));
    return {ExitCode::kUsage, ErrorKind::kValue, fmt::format("{}: {}", command_of(&app), what),
            see};
  }
  const std::string& word = left.front();
  const bool is_option = word.starts_with('-');
  const auto known = is_option ? names_of_options(app) : names_of_verbs(app);
  const auto nearest = nearest_name(word.substr(0, word.find('=')), known);
  const auto first_level = names_of_verbs(root);
  const bool of_root = std::find(first_level.begin(), first_level.end(), word) != first_level.end();
  return {ExitCode::kUsage, ErrorKind::kValue,
          fmt::format("'{}' is not {} of '{}'", word,
                      is_option ? "an option" : "a verb or argument", command_of(&app)),
          nearest   ? fmt::format("did you mean '{}'?", *nearest)
          : of_root ? fmt::format("did you mean 'quanthost {}'?", word)
                    : see};
}

}  // namespace

OptionEntry& Verb::entry(const std::string& names, const std::string& help) {
  OptionEntry option;
  std::istringstream words(names);
  for (std::string name; std::getline(words, name, ',');) option.names.push_back(name);
  option.help = help;
  option.positional = !option.names.front().starts_with('-');
  auto& options = tables_->entries[app_].options;
  options.push_back(std::move(option));
  return options.back();
}

Verb& Verb::flag(const std::string& name, bool& value, const std::string& help) {
  app_->add_flag(name, value, help);
  entry(name, help);
  return *this;
}
Verb& Verb::option(const std::string& name, std::string& value, const std::string& help) {
  app_->add_option(name, value, help);
  entry(name, help).takes_value = true;
  return *this;
}
Verb& Verb::options(const std::string& name, std::vector<std::string>& values,
                    const std::string& help) {
  app_->add_option(name, values, help)
      ->allow_extra_args(false)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  OptionEntry& option = entry(name, help);
  option.takes_value = option.repeatable = true;
  return *this;
}
Verb& Verb::choice(const std::string& name, std::string& value,
                   const std::vector<std::string>& allowed, const std::string& help) {
  app_->add_option(name, value, help)->check(one_of(allowed));
  OptionEntry& option = entry(name, help);
  option.takes_value = true;
  option.choices = allowed;
  return *this;
}
Verb& Verb::argument(const std::string& name, std::string& value, const std::string& help) {
  app_->add_option(name, value, help)->required();
  entry(name, help).required = true;
  return *this;
}
Verb& Verb::optional_argument(const std::string& name, std::string& value,
                              const std::string& help) {
  app_->add_option(name, value, help);
  entry(name, help);
  return *this;
}
Verb& Verb::arguments(const std::string& name, std::vector<std::string>& values,
                      const std::string& help) {
  app_->add_option(name, values, help)->required();
  OptionEntry& option = entry(name, help);
  option.required = option.repeatable = true;
  return *this;
}
Verb& Verb::optional_arguments(const std::string& name, std::vector<std::string>& values,
                               const std::string& help) {
  app_->add_option(name, values, help);
  entry(name, help).repeatable = true;
  return *this;
}
Verb& Verb::choice_argument(const std::string& name, std::string& value,
                            const std::vector<std::string>& allowed, const std::string& help) {
  app_->add_option(name, value, help)->required()->check(one_of(allowed));
  OptionEntry& option = entry(name, help);
  option.required = true;
  option.choices = allowed;
  return *this;
}
Verb& Verb::group(const std::string& title) {
  app_->group(title);
  return *this;
}
Verb& Verb::run(std::function<int()> body) {
  tables_->runs[app_] = std::move(body);
  return *this;
}
Verb Verb::verb(const std::string& name, const std::string& summary, const std::string& examples) {
  CLI::App* child = app_->add_subcommand(name, summary);
  child->fallthrough();             // --json and its like may stand anywhere
  child->require_subcommand(0, 1);  // a second verb is an argument
  if (!examples.empty()) child->footer("Examples:\n" + examples);
  tables_->entries[child] = {name, summary, examples, {}, {}};
  return {child, tables_};
}

bool ParsedOptions::has(const std::string& long_name) const {
  return find_option(app_, long_name) != nullptr;
}

std::vector<std::string> ParsedOptions::given(const std::string& long_name) const {
  const CLI::Option* option = find_option(app_, long_name);
  return option ? option->results() : std::vector<std::string>{};
}

void ParsedOptions::set(const std::string& long_name, const std::vector<std::string>& values) {
  CLI::Option* option = find_option(app_, long_name);
  try {
    option->add_result(values);
    option->run_callback();
  } catch (const CLI::ParseError& e) {
    throw Error(ErrorKind::kValue, e.what());
  }
}

CommandLine::CommandLine(const std::string& name, const std::string& summary,
                         const std::string& footer)
    : app_(std::make_unique<CLI::App>(summary, name)), tables_(std::make_unique<Verb::Tables>()) {
  app_->formatter(std::make_shared<Help>());
  app_->footer(footer);
  app_->set_help_flag("-h,--help", "This text");
  app_->require_subcommand(0, 1);
  tables_->entries[app_.get()] = {name, summary, "", {}, {}};
}
CommandLine::~CommandLine() = default;

Verb CommandLine::root() { return {app_.get(), tables_.get()}; }

std::vector<std::string> CommandLine::verb_names() const { return names_of_verbs(*app_); }

VerbEntry CommandLine::table() const {
  const std::function<VerbEntry(CLI::App&)> of = [&](CLI::App& app) {
    VerbEntry entry = tables_->entries.at(&app);
    for (CLI::App* below : verbs_of(app)) entry.verbs.push_back(of(*below));
    return entry;
  };
  return of(*app_);
}

int CommandLine::execute(const std::vector<std::string>& arguments) {
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants them
    app_->parse(reversed);
  } catch (const CLI::CallForHelp&) {
    // "quanthost nope --help" tells of nothing.
    const auto left = app_->remaining(true);
    if (!left.empty() && !left.front().starts_with('-'))
      throw usage_error(*app_, CLI::ExtrasError(left));
    std::fputs(chosen(*app_).help().c_str(), stdout);
    return 0;
  } catch (const CLI::ParseError& e) {
    throw usage_error(*app_, e);
  }
  CLI::App& verb = chosen(*app_);
  if (after_parse_) {
    ParsedOptions parsed(&verb, path_of(&verb));
    after_parse_(parsed);
  }
  if (const auto run = tables_->runs.find(&verb); run != tables_->runs.end()) return run->second();
  std::fputs(verb.help().c_str(), stdout);  // "quanthost plugins": what there is
  return 0;
}

}  // namespace quanthost::cli
