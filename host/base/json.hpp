// JSON for the host: nlohmann's value types behind one name, with errors that say which file and where.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "host/base/error.hpp"

namespace quanthost {

using Json = nlohmann::json;                 // objects sorted by key, as Python writes config.json with sort_keys
using OrderedJson = nlohmann::ordered_json;  // objects in the order of insertion

// Parses untrusted text. `where` names the file in the error. A duplicate key keeps its last value, as in Python.
inline Json parse_json(std::string_view text, std::string_view where) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& e) {
    throw Error(ErrorKind::kValue, fmt::format("{}: not valid JSON at byte {}: {}", where, e.byte, e.what()));
  } catch (const Json::exception& e) {  // a number that fits no type
    throw Error(ErrorKind::kValue, fmt::format("{}: not valid JSON: {}", where, e.what()));
  }
}

}  // namespace quanthost
