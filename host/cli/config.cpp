// `quanthost config`: which settings hold, and where each came from.
#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

std::string as_text(const std::vector<std::string>& values) {
  std::string out;
  for (const std::string& value : values) out += (out.empty() ? "" : ", ") + value;
  return out;
}

// What holds: flag, then environment, then file, then default. Paths of the environment are shown
// by 'quanthost plugins paths', which has their order.
SettingValue effective(const Session& session, const SettingSpec& spec) {
  SettingValue value = session.settings().find(spec.key);
  if (value.values.empty()) value.values = {spec.standard};
  return value;
}

void need_sound_settings(const Session& session) {
  if (!session.settings_fault().empty())
    throw CommandError(ExitCode::kFailed, ErrorKind::kValue, session.settings_fault(),
                       "'quanthost config template' shows every setting");
}

int show_settings(Session& session) {
  need_sound_settings(session);
  OrderedJson list = OrderedJson::array();
  std::vector<std::vector<std::string>> rows{{"SETTING", "VALUE", "FROM"}};
  for (const SettingSpec& spec : setting_specs()) {
    const SettingValue value = effective(session, spec);
    list.push_back({{"key", spec.key},
                    {"value", as_text(value.values)},
                    {"from", value.origin},
                    {"option", fmt::format("--{}", spec.option)},
                    {"variable", spec.variable},
                    {"help", spec.help}});
    rows.push_back({spec.key, as_text(value.values).empty() ? "-" : as_text(value.values),
                    value.origin == "default" ? session.dim(value.origin) : value.origin});
  }
  if (session.json()) {
    session.print_json("config", {{"settings", list}});
  } else {
    session.print(format_table(rows));
  }
  return 0;
}

int path(Session& session) {
  OrderedJson list = OrderedJson::array();
  std::vector<std::vector<std::string>> rows;
  for (const Settings::File& file :
       Settings::files(SearchContext::of_this_process(), session.config_option())) {
    std::error_code error;
    const bool exists = std::filesystem::exists(file.path, error);
    list.push_back({{"path", file.path.string()}, {"origin", file.origin}, {"exists", exists}});
    rows.push_back({file.path.string(), file.origin, exists ? "read" : "does not exist"});
  }
  if (session.json()) {
    session.print_json("config.path", {{"files", list}});
  } else {
    session.print(format_table(rows));
  }
  return 0;
}

int print_template(Session& session) {
  std::string text =
      "# Settings of quanthost. A flag wins over the environment, the environment over this file.\n"
      "# Every line is optional; those below show what holds without them.\n";
  for (const SettingSpec& spec : setting_specs()) {
    text += fmt::format(
        "\n# {} (--{}, {})\n# {}: {}\n", spec.help, spec.option, spec.variable, spec.key,
        spec.kind == SettingKind::kPathList ? "[/opt/quanthost/plugins]" : spec.standard);
  }
  text.pop_back();
  if (session.json()) {
    session.print_json("config.template", {{"text", text}});
  } else {
    session.print(text);
  }
  return 0;
}

}  // namespace

void add_config(Verb parent, Session& session) {
  Verb config = parent.verb("config", "Settings that hold here, and where each came from",
                            "  quanthost config show\n"
                            "  quanthost config template > ~/.config/quanthost/quanthost.yaml");
  config.group("This machine");
  config
      .verb("show", "Every setting: its value, and the flag, variable or file it came from",
            "  quanthost config show\n  QUANTHOST_THREADS=4 quanthost config show --json")
      .run([&session] { return show_settings(session); });
  config
      .verb("path", "The files that settings are read from, the first one first",
            "  quanthost config path")
      .run([&session] { return path(session); });
  config
      .verb("template", "A settings file to start from: every setting, commented out",
            "  quanthost config template > ~/.config/quanthost/quanthost.yaml")
      .run([&session] { return print_template(session); });
}

}  // namespace quanthost::cli
