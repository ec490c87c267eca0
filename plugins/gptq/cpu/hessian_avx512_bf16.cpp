// The Hessian of bfloat16 inputs, two tokens at a time (AVX512-BF16): their products are exact and
// summed in float32. Numbers below 2^-126 count as zero.
#include "cpu/hessian.inl"

namespace quanthost::gptq {
namespace {

struct PairProducts {
  using Stored = std::uint32_t;  // one column of an even token, and of the odd one after it above
  using Factor = __m512bh;
  static constexpr std::int64_t kTokens = 2;

  static void stage(const HessianArgs& a, std::int64_t step, std::int64_t first,
                    std::uint32_t* out) {
    const std::int64_t left = a.columns - first;
    const __mmask16 lanes = left >= 16 ? 0xffff : cpu::first(left < 0 ? 0 : static_cast<int>(left));
    const auto* even = static_cast<const BFloat16*>(a.inputs) + 2 * step * a.columns + first;
    const auto read = [&](const BFloat16* from) {
      return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, from));
    };
    __m512i pair = read(even);
    if (2 * step + 1 < a.tokens)
      pair = _mm512_or_si512(pair, _mm512_slli_epi32(read(even + a.columns), 16));
    _mm512_store_si512(out, pair);
  }
  static __m512bh load(const std::uint32_t* p) {
    return reinterpret_cast<__m512bh>(_mm512_load_si512(p));
  }
  static __m512bh broadcast(const std::uint32_t* p) {
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(*p)));
  }
  static Floats add_product(Floats sum, __m512bh a, __m512bh b) {
    return {_mm512_dpbf16_ps(sum.v, a, b)};
  }
};

}  // namespace

const HessianProduct& bf16_hessian() { return kHessianProduct<PairProducts>; }

}  // namespace quanthost::gptq
