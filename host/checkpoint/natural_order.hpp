// Compares names as people do: runs of digits by their value, everything else byte by byte.
#pragma once

#include <string_view>

namespace quanthost {

// A strict weak order; names that differ only in leading zeros are ordered by their bytes.
bool natural_less(std::string_view a, std::string_view b);

}  // namespace quanthost
