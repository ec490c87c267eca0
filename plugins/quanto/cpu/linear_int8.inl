// y = x · Wᵀ with int8 activations and int8 weights: exact 32-bit sums, so every path gives the
// same bytes.
#pragma once

#include "cpu/decode.inl"

namespace quanthost::quanto {
namespace {

inline void int8_run(const LinearArgs& a, std::int64_t begin, std::int64_t end, void*) {
  const auto* x = static_cast<const std::int8_t*>(a.x);
  const auto* weights = reinterpret_cast<const std::int8_t*>(a.weight.data);
  for (std::int64_t o = begin; o < end; ++o) {
    const std::int8_t* w = weights + o * a.inputs;
    for (std::int64_t t = 0; t < a.tokens; ++t) {
      const std::int8_t* row = x + t * a.inputs;
      // Unsigned, so that a sum beyond 32 bits wraps as torch's does.
      std::uint32_t total = 0;
      for (std::int64_t k = 0; k < a.inputs; ++k)
        total += static_cast<std::uint32_t>(static_cast<std::int32_t>(row[k]) * w[k]);
      write_output(a, t, o,
                   static_cast<float>(static_cast<std::int32_t>(total)) * output_scale(a, o));
    }
  }
}

inline const LinearPath kInt8Path = {"int8",
                                     [](const LinearArgs&) -> std::int64_t { return 0; },
                                     [](const LinearArgs&) -> std::int64_t { return 0; },
                                     [](const LinearArgs&, std::int64_t, std::int64_t) {},
                                     [](const LinearArgs& a) { return a.outputs; },
                                     [](const LinearArgs&) -> std::int64_t { return 0; },
                                     int8_run};

}  // namespace
}  // namespace quanthost::quanto
