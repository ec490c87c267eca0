#include "host/text/stop_strings.hpp"

#include <algorithm>
#include <utility>

#include "host/base/error.hpp"

namespace quanthost::text {
namespace {

// How many of the last characters of `text` are the beginning of `stop`, at most all but one.
std::size_t begun(std::string_view text, std::string_view stop) {
  std::size_t length = std::min(text.size(), stop.size() - 1);
  while (!text.ends_with(stop.substr(0, length))) --length;
  return length;
}

}  // namespace

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    if (stop.empty()) fail(ErrorKind::kValue, "a stop string is empty");
  }
}

std::string StopStrings::push(std::string_view piece) {
  if (reached_) return {};
  held_ += piece;
  std::size_t end = std::string::npos, kept = 0;
  for (const std::string& stop : stops_) {
    end = std::min(end, held_.find(stop));
    kept = std::max(kept, begun(held_, stop));
  }
  reached_ = end != std::string::npos;
  std::string shown = held_.substr(0, reached_ ? end : held_.size() - kept);
  held_ = reached_ ? std::string() : held_.substr(shown.size());
  return shown;
}

std::string StopStrings::finish() { return std::exchange(held_, {}); }

}  // namespace quanthost::text
