// Regular expressions over UTF-8 text. The one door to PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "host/text/utf8.hpp"

namespace quanthost::text {

struct Match {
  std::size_t begin;  // bytes
  std::size_t end;
};

// A compiled pattern in Oniguruma syntax, as tokenizer files hold them. Immutable: any thread may
// search.
class Regex {
 public:
  explicit Regex(std::string_view oniguruma_pattern);

  // The first match at or behind `from` in valid UTF-8 text; false without one. Throws RuntimeError
  // when the pattern backtracks beyond the limit, so that a hostile file cannot hang the process.
  bool search(std::string_view text, std::size_t from, Match& match) const;

  // Calls visit(begin, end, is_match) for every match and every gap, in order, covering the text.
  // An empty match that touches the match before it is left out.
  template <typename Visit>
  void partition(std::string_view text, Visit&& visit) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

template <typename Visit>
void Regex::partition(std::string_view text, Visit&& visit) const {
  if (text.empty()) return;
  std::size_t from = 0;
  std::size_t covered = 0;
  bool matched_before = false;
  Match match;
  while (from <= text.size() && search(text, from, match)) {
    if (match.begin == match.end && matched_before && match.end == covered) {
      from += from < text.size() ? sequence_length(text[from]) : 1;
      continue;
    }
    if (covered != match.begin) visit(covered, match.begin, false);
    visit(match.begin, match.end, true);
    from = covered = match.end;
    matched_before = true;
  }
  if (covered != text.size()) visit(covered, text.size(), false);
}

}  // namespace quanthost::text
