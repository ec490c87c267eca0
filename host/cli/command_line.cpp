#include "host/cli/command_line.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "host/base/nearest_name.hpp"
#include "host/cli/exit_code.hpp"

namespace quanthost::cli {

struct Verb::Runs {
  std::map<const CLI::App*, std::function<int()>> by_app;
};

namespace {

const CLI::App& chosen(const CLI::App& app) {
  const auto below = app.get_subcommands();
  return below.empty() ? app : chosen(*below.front());
}

std::vector<std::string> names_of_verbs(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(verb->get_name());
  return names;
}

std::vector<std::string> names_of_options(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* at = &app; at; at = at->get_parent()) {
    for (const CLI::Option* option : at->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

// What was not understood, and what may have been meant.
CommandError usage_error(const CLI::App& root, const CLI::ParseError& error) {
  const CLI::App& app = chosen(root);
  const auto left = root.remaining(true);
  if (!dynamic_cast<const CLI::ExtrasError*>(&error) || left.empty()) {
    return {ExitCode::kUsage, ErrorKind::kValue, error.what(),
            fmt::format("see '{} --help'",
                        app.get_display_name().empty() ? "quanthost" : app.get_display_name())};
  }
  const std::string& word = left.front();
  const bool is_option = word.starts_with('-');
  const auto known = is_option ? names_of_options(app) : names_of_verbs(app);
  const auto nearest = nearest_name(word.substr(0, word.find('=')), known);
  return {ExitCode::kUsage, ErrorKind::kValue,
          fmt::format("'{}' is not {} of '{}'", word,
                      is_option ? "an option" : "a verb or argument", app.get_name()),
          nearest ? fmt::format("did you mean '{}'?", *nearest) : "see --help"};
}

}  // namespace

Verb& Verb::flag(const std::string& name, bool& value, const std::string& help) {
  app_->add_flag(name, value, help);
  return *this;
}
Verb& Verb::option(const std::string& name, std::string& value, const std::string& help) {
  app_->add_option(name, value, help);
  return *this;
}
Verb& Verb::options(const std::string& name, std::vector<std::string>& values,
                    const std::string& help) {
  app_->add_option(name, values, help)
      ->allow_extra_args(false)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  return *this;
}
Verb& Verb::choice(const std::string& name, std::string& value,
                   const std::vector<std::string>& allowed, const std::string& help) {
  app_->add_option(name, value, help)->check(CLI::IsMember(allowed));
  return *this;
}
Verb& Verb::argument(const std::string& name, std::string& value, const std::string& help) {
  app_->add_option(name, value, help)->required();
  return *this;
}
Verb& Verb::optional_argument(const std::string& name, std::string& value,
                              const std::string& help) {
  app_->add_option(name, value, help);
  return *this;
}
Verb& Verb::run(std::function<int()> body) {
  runs_->by_app[app_] = std::move(body);
  return *this;
}
Verb Verb::verb(const std::string& name, const std::string& summary, const std::string& examples) {
  CLI::App* child = app_->add_subcommand(name, summary);
  child->fallthrough();  // --json and its like may stand anywhere
  if (!examples.empty()) child->footer("Examples:\n" + examples);
  return {child, runs_};
}

CommandLine::CommandLine(const std::string& name, const std::string& summary,
                         const std::string& footer)
    : app_(std::make_unique<CLI::App>(summary, name)), runs_(std::make_unique<Verb::Runs>()) {
  app_->footer(footer);
  app_->set_help_flag("-h,--help", "This text");
}
CommandLine::~CommandLine() = default;

Verb CommandLine::root() { return {app_.get(), runs_.get()}; }

std::vector<std::string> CommandLine::verb_names() const { return names_of_verbs(*app_); }

int CommandLine::execute(const std::vector<std::string>& arguments) {
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants them
    app_->parse(reversed);
  } catch (const CLI::CallForHelp&) {
    std::fputs(chosen(*app_).help().c_str(), stdout);
    return 0;
  } catch (const CLI::ParseError& e) {
    throw usage_error(*app_, e);
  }
  const CLI::App& verb = chosen(*app_);
  if (const auto run = runs_->by_app.find(&verb); run != runs_->by_app.end()) return run->second();
  std::fputs(verb.help().c_str(), stdout);  // "quanthost plugins": what there is
  return 0;
}

}  // namespace quanthost::cli
