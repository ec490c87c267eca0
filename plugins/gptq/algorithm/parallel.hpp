// How the algorithm spends threads: the caller gives it a loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

namespace quanthost::gptq {

// Runs body(begin, end) over ranges that cover [0, count) once each, in any order and on any
// threads, and returns when all are done. What a range computes never depends on how the loop was
// cut.
using RangeBody = std::function<void(std::int64_t begin, std::int64_t end)>;
using ParallelFor = std::function<void(std::int64_t count, const RangeBody& body)>;

// Runs body(i) once for each i of [0, count), where some take longer than others: whoever is free
// takes the next one.
template <typename Body>
void for_each_as_free(const ParallelFor& parallel_for, std::int64_t count, const Body& body) {
  std::atomic<std::int64_t> next{0};
  parallel_for(count, [&](std::int64_t, std::int64_t) {
    for (std::int64_t i = next++; i < count; i = next++) body(i);
  });
}

}  // namespace quanthost::gptq
