// How the algorithm spends threads: the caller gives it a loop.
#pragma once

#include <cstdint>
#include <functional>

namespace quanthost::gptq {

// Runs body(begin, end) over ranges that cover [0, count) once each, in any order and on any
// threads, and returns when all are done. What a range computes never depends on how the loop was
// cut.
using RangeBody = std::function<void(std::int64_t begin, std::int64_t end)>;
using ParallelFor = std::function<void(std::int64_t count, const RangeBody& body)>;

}  // namespace quanthost::gptq
