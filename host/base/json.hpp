// JSON for the host: nlohmann's value types behind one name, with errors that say which file and
// where.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "host/base/error.hpp"

namespace quanthost {

using Json = nlohmann::json;  // objects sorted by key, as Python writes config.json with sort_keys
using OrderedJson = nlohmann::ordered_json;  // objects in the order of insertion

// Parses untrusted text. `where` names the file in the error. A duplicate key keeps its last value,
// as in Python. Nesting beyond 500 is refused: copying and printing a value goes as deep as the
// value does.
Json parse_json(std::string_view text, std::string_view where);

}  // namespace quanthost
