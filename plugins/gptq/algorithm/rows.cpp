// The loops that most of the solver's time goes to.
#include "algorithm/rows.hpp"

// The sanitizers' instrumentation does not know functions that are chosen while a library loads.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define QH_GPTQ_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define QH_GPTQ_CLONES
#endif

namespace quanthost::gptq {

QH_GPTQ_CLONES void add_scaled(float* __restrict row, const float* __restrict other, float factor,
                               std::int64_t count) {
  for (std::int64_t j = 0; j < count; ++j) row[j] += factor * other[j];
}

QH_GPTQ_CLONES void subtract_scaled(float* __restrict row, const float* __restrict other,
                                    float factor, std::int64_t count) {
  for (std::int64_t j = 0; j < count; ++j) row[j] -= factor * other[j];
}

}  // namespace quanthost::gptq
