#include "host/cli/session.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>

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

std::chrono::milliseconds parse_seconds(const std::string& text) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || end != text.data() + text.size() ||
      !(seconds > 0 && seconds <= 3600)) {
    throw CommandError(ExitCode::kUsage, ErrorKind::kValue,
                       fmt::format("--probe-limit: '{}' is not a number of seconds", text),
                       "give a number above 0, at most 3600");
  }
  return std::chrono::milliseconds(
      std::max<std::int64_t>(1, static_cast<std::int64_t>(seconds * 1000)));
}

}  // namespace

void Session::add_global_options(Verb root) {
  root.flag("--json", json_, "Print one JSON document")
      .flag("-q,--quiet", quiet_, "Say only what is wrong")
      .flag("-v,--verbose", verbose_, "Say more about what is done")
      .flag("--no-cache", no_cache_, "Read every plugin anew")
      .choice("--color", color_, {"auto", "always", "never"}, "Colours in the output")
      .choice("--trust", trust_, {"off", "warn", "require"}, "Trust policy for this call")
      .option("--probe-limit", probe_limit_,
              "Seconds a plugin may take to open in isolation (default: 10)")
      .options("--plugin-path", plugin_paths_, "Search this directory first; may be repeated");
}

PluginHost& Session::plugins() {
  if (plugins_) return *plugins_;
  if (quiet_) log::set_level(log::Level::kError);
  if (verbose_) log::set_level(log::Level::kDebug);
  PluginHostOptions options;
  options.plugin_paths.assign(plugin_paths_.begin(), plugin_paths_.end());
  options.use_cache = !no_cache_;
  options.probe_time_limit = parse_seconds(probe_limit_);
  if (!trust_.empty()) options.trust = parse_trust_policy(trust_);
  plugins_ = std::make_unique<PluginHost>(std::move(options));
  return *plugins_;
}

void Session::print_json(std::string_view name, OrderedJson content) const {
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
      color_ == "auto" && ::isatty(STDOUT_FILENO) != 0 && !std::getenv("NO_COLOR");
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
