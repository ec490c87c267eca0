// Grids of the original groups, and the nearest point on them.
#include "algorithm/round_to_nearest.hpp"

#include <algorithm>

namespace quanthost::gptq {

std::vector<float> round_to_nearest(std::span<const float> weight, std::int64_t rows,
                                    std::int64_t columns, const SolverOptions& options,
                                    const ParallelFor& parallel_for) {
  const auto largest_code = static_cast<float>((1 << options.grid.bits) - 1);
  const std::int64_t group_size = options.group_size == -1 ? columns : options.group_size;
  std::vector<float> out(weight.size());
  parallel_for(rows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t first = 0; first < columns; first += group_size) {
        const auto at = static_cast<std::size_t>(row * columns + first);
        const auto group =
            weight.subspan(at, static_cast<std::size_t>(std::min(group_size, columns - first)));
        const Grid grid = find_grid(group, options.grid);
        for (std::size_t i = 0; i < group.size(); ++i)
          out[at + i] = grid.value(grid.code(group[i], largest_code));
      }
  });
  return out;
}

}  // namespace quanthost::gptq
