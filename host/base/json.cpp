#include "host/base/json.hpp"

namespace quanthost {
namespace {

constexpr int kMaxDepth = 500;

// Counts brackets outside of strings. Text that is no JSON may give any depth; the parser refuses
// it afterwards.
bool is_too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace

Json parse_json(std::string_view text, std::string_view where) {
  if (is_too_deep(text)) {
    throw Error(ErrorKind::kValue,
                fmt::format("{}: JSON nested more than {} deep", where, kMaxDepth));
  }
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& e) {
    // "[json.exception.parse_error.101] parse error at line 1, column 24: why": the rest is enough.
    std::string_view why = e.what();
    if (const std::size_t at = why.find("parse error at "); at != why.npos)
      why.remove_prefix(at + 15);
    throw Error(ErrorKind::kValue, fmt::format("{}: not valid JSON at {}", where, why),
                "the file is damaged or was edited by hand: correct it there, or get it again");
  } catch (const Json::exception& e) {  // a number that fits no type
    throw Error(ErrorKind::kValue, fmt::format("{}: not valid JSON: {}", where, e.what()));
  }
}

}  // namespace quanthost
