// The page: one HTML file that asks nothing of the network, needs no script, and reads well in the
// light, in the dark and on a phone.
#pragma once

#include <string>

#include "host/report/run_data.hpp"

namespace quanthost::report {

std::string html_page(const RunData& data, const std::string& title);

}  // namespace quanthost::report
