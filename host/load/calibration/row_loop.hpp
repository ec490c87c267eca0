// A parallel loop whose results do not depend on the number of threads: each row is computed by one
// thread alone, in LibTorch's pool.
#pragma once

#include <cstddef>
#include <functional>

namespace quanthost {

// How many rows are worked on at once.
std::size_t row_threads();

// body(row) for each of [begin, end), without autograd; the first failure comes out here.
void for_each_row(std::size_t begin, std::size_t end,
                  const std::function<void(std::size_t row)>& body);

}  // namespace quanthost
