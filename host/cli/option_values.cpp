#include "host/cli/option_values.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "host/cli/exit_code.hpp"

namespace quanthost::cli {

std::int64_t parse_integer(const std::string& option, const std::string& text, std::int64_t least) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least)
    throw CommandError(
        ExitCode::kUsage, ErrorKind::kValue,
        fmt::format("{}: '{}' is no whole number of at least {}", option, text, least),
        fmt::format("for example {} {}", option, std::max<std::int64_t>(least, 4)));
  return value;
}

double parse_number(const std::string& option, const std::string& text, double least) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= least))
    throw CommandError(ExitCode::kUsage, ErrorKind::kValue,
                       fmt::format("{}: '{}' is no number of at least {}", option, text, least),
                       fmt::format("for example {} {}", option, std::max(least, 0.7)));
  return value;
}

}  // namespace quanthost::cli
