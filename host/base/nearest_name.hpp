// "Did you mean": the known name that is nearest to what somebody wrote.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quanthost {

// The name within a third of its length in edits (insert, delete, replace, swap), the first of
// equals.
std::optional<std::string> nearest_name(std::string_view written,
                                        const std::vector<std::string>& known);

// A hint: "did you mean X?", or the list of what there is.
std::string suggest_name(std::string_view written, const std::vector<std::string>& known);

}  // namespace quanthost
