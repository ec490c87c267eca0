// Charts as inline SVG, coloured by the page's CSS variables so that light and dark both read well.
// Pure functions.
#pragma once

#include <string>
#include <vector>

#include "host/report/run_data.hpp"

namespace quanthost::report {

std::string escaped(const std::string& text);  // for HTML text and attributes

struct Bar {
  std::string label;
  double first = 0, second = 0;
};
// Pairs of upright bars in a row, the first of each pair muted; a scale of bytes on the left.
std::string paired_bars(const std::vector<Bar>& bars, const std::string& title);
// Two lines over the layers on a logarithmic scale.
std::string error_lines(const std::vector<LayerError>& errors, const std::string& title);
// Memory over time as a filled line, with its peak named.
std::string memory_area(const std::vector<MemorySample>& samples, const std::string& title);
// One lane a stage, from its begin to its end.
std::string stage_lanes(const std::vector<Span>& stages, const std::string& title);

}  // namespace quanthost::report
