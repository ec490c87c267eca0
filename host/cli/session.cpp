#include "host/cli/session.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "host/base/file.hpp"
#include "host/base/log.hpp"

namespace quanthost::cli {
namespace {

std::size_t visible_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      i = text.find('m', i);  // a colour takes no room
      if (i == text.npos) break;
      continue;
    }
    width += (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80;
  }
  return width;
}

std::chrono::milliseconds parse_seconds(const std::string& text, const std::string& origin) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || end != text.data() + text.size() ||
      !(seconds > 0 && seconds <= 3600)) {
    throw CommandError(ExitCode::kUsage, ErrorKind::kValue,
                       fmt::format("{}: '{}' is not a number of seconds", origin, text),
                       "give a number above 0, at most 3600");
  }
  return std::chrono::milliseconds(
      std::max<std::int64_t>(1, static_cast<std::int64_t>(seconds * 1000)));
}

}  // namespace

bool terminal_allows_styling() {
  const char* no_color = std::getenv("NO_COLOR");  // no-color.org: any value that is not empty
  const char* terminal = std::getenv("TERM");
  return !(no_color && *no_color) && !(terminal && std::string_view(terminal) == "dumb");
}

void Session::add_global_options(Verb root) {
  root.flag("--json", json_, "Print one JSON document")
      .flag("-q,--quiet", quiet_, "Say only what is wrong")
      .flag("-v,--verbose", verbose_, "Say more about what is done")
      .flag("--no-cache", no_cache_, "Read every plugin anew")
      .choice("--color", color_, {"auto", "always", "never"}, "Colours in the output")
      .choice("--trust", trust_, {"off", "warn", "require"}, "Trust policy for this call")
      .option("--probe-limit", probe_limit_,
              "Seconds a plugin may take to open in isolation (default: 10)")
      .option("--config", config_file_, "Read settings from this file alone")
      .options("--plugin-path", plugin_paths_, "Search this directory first; may be repeated");
}

void Session::apply_settings(ParsedOptions& options) {
  static const std::array<std::string_view, 6> kReporting{
      "doctor", "env", "config show", "config path", "config template", "completion"};
  try {
    settings_.read(SearchContext::of_this_process(), config_file_);
    settings_.apply(options);
  } catch (const Error& e) {
    if (std::find(kReporting.begin(), kReporting.end(), options.verb()) == kReporting.end()) throw;
    settings_fault_ =
        e.hint().empty() ? e.message() : fmt::format("{} ({})", e.message(), e.hint());
  }
  if (quiet_) log::set_level(log::Level::kError);
  if (verbose_) log::set_level(log::Level::kDebug);
}

PluginHost& Session::plugins() {
  if (plugins_) return *plugins_;
  PluginHostOptions options;
  options.plugin_paths.assign(plugin_paths_.begin(), plugin_paths_.end());
  for (const std::filesystem::path& path : options.plugin_paths) {
    if (!std::filesystem::is_directory(path))
      log::warn("plugins", "--plugin-path {} is no directory", path.string());
  }
  // The file's directories are searched after the variable's, as if they stood at its end.
  options.context = SearchContext::of_this_process();
  options.context->environment = [real = options.context->environment,
                                  configured = settings_.find("plugin_path").values](
                                     const char* name) -> std::optional<std::string> {
    auto value = real(name);
    if (configured.empty() || std::string_view(name) != "QUANTHOST_PLUGIN_PATH") return value;
    return fmt::format("{}:{}", value.value_or(""), fmt::join(configured, ":"));
  };
  options.use_cache = !no_cache_;
  options.probe_time_limit = parse_seconds(probe_limit_, settings_.find("probe_limit").origin);
  if (!trust_.empty()) options.trust = parse_trust_policy(trust_);
  plugins_ = std::make_unique<PluginHost>(std::move(options));
  return *plugins_;
}

std::string Session::origin_of(const SearchDirectory& directory) const {
  const SettingValue& configured = settings_.find("plugin_path");
  const char* variable = std::getenv("QUANTHOST_PLUGIN_PATH");
  const bool of_settings =
      std::any_of(configured.values.begin(), configured.values.end(), [&](const std::string& path) {
        return std::filesystem::path(path).lexically_normal() == directory.path &&
               !(variable && std::string_view(variable).find(path) != std::string_view::npos);
      });
  return directory.origin == "QUANTHOST_PLUGIN_PATH" && of_settings ? configured.origin
                                                                    : directory.origin;
}

void Session::print_json(std::string_view name, const OrderedJson& content) const {
  OrderedJson document{{"schema", fmt::format("quanthost.{}", name)}, {"schema_version", 1}};
  document.update(content);
  print(document.dump(2, ' ', false, OrderedJson::error_handler_t::replace));
}

void Session::print(std::string_view line) const {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
}

bool Session::colours() const {
  if (json_) return false;
  const bool automatic =
      color_ == "auto" && ::isatty(STDOUT_FILENO) != 0 && terminal_allows_styling();
  return color_ == "always" || automatic;
}

std::string Session::coloured(std::string_view text, const char* code) const {
  if (!colours()) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

int Session::report(const Error& error) const {
  const int code = static_cast<int>(exit_code_of(error));
  if (json_) {
    // The place is what stands in front of the first cause: "plugin x (file): …".
    const auto colon = error.message().find(": ");
    const OrderedJson content{
        {"code", code},
        {"kind", name_of(error.kind())},
        {"message", error.message()},
        {"hint", error.hint()},
        {"where", colon == std::string::npos ? "" : error.message().substr(0, colon)}};
    print(
        OrderedJson{{"error", content}}.dump(2, ' ', false, OrderedJson::error_handler_t::replace));
  } else {
    std::fprintf(stderr, "error: %s\n", error.message().c_str());
    if (!error.hint().empty()) std::fprintf(stderr, "  hint: %s\n", error.hint().c_str());
  }
  return code;
}

int Session::run_reporting(const std::function<int()>& body) const {
  try {
    const int code = body();
    if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return code;
    fail_errno("standard output", "write", errno);  // a full disk or a closed pipe
  } catch (const Error& e) {
    return report(e);
  } catch (const std::bad_alloc&) {
    return report(Error(ErrorKind::kMemory, "out of memory",
                        "use a smaller model or --max-queue, or free memory on this machine"));
  } catch (const std::exception& e) {
    return report(Error(ErrorKind::kInternal, e.what(),
                        "this is a bug in quanthost: please report it with 'quanthost env'"));
  }
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], visible_width(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - visible_width(row[i]) + 2, ' ');
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  if (!out.empty()) out.pop_back();
  return out;
}

}  // namespace quanthost::cli
