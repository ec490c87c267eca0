// AVX-512 with BF16: products of bfloat16 pairs, summed in float32.
#include <quanthost/cpu/bf16_product.hpp>

#include "plugins/bnb4/kernels/cpu/bf16_rows.hpp"

namespace quanthost::bnb4::cpu {
namespace {

#include "plugins/bnb4/kernels/cpu/linear.inl"

struct Avx512Bf16 {
  using Element = Bfloat;
  using Register = __m512i;
  using Accumulator = __m512;
  static constexpr int kStep = 32;
  static constexpr int kTileBatch = 6;

  static __m512 zero() { return _mm512_setzero_ps(); }
  static __m512i load(const Bfloat* at) { return _mm512_loadu_si512(at); }
  static void store(Bfloat* at, __m512i value) { _mm512_storeu_si512(at, value); }
  static __m512 dot(__m512 sum, __m512i a, __m512i b) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
  static __m512 scale_add(__m512 sum, __m512 part, float scale) {
    return _mm512_fmadd_ps(part, _mm512_set1_ps(scale), sum);
  }
  static float sum(__m512 value) { return _mm512_reduce_add_ps(value); }
  static void prefetch(const uint8_t* at) {
    _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1);
  }

  using Codes = __m512;
  using Lookup = __m512i;  // the sixteen values twice: the fifth bit of an index does not matter
  static Codes codes(QuantType type) { return _mm512_loadu_ps(code_table(type)); }
  static Lookup lookup(Codes codes, float scale) {
    const __m256bh words = _mm512_cvtneps_pbh(_mm512_mul_ps(codes, _mm512_set1_ps(scale)));
    return _mm512_broadcast_i64x4(reinterpret_cast<__m256i>(words));
  }
  static void decode(Lookup lookup, const uint8_t* packed, __m512i* even, __m512i* odd) {
    const __m512i bytes =
        _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(packed)));
    *even = _mm512_permutexvar_epi16(_mm512_srli_epi16(bytes, 4), lookup);
    *odd = _mm512_permutexvar_epi16(bytes, lookup);
  }
};

// A few rows. Inputs are staged as linear_stage does, in vectors.
constexpr int64_t kSplitGroup = kGroup<Avx512Bf16>;
void stage_rows(const StageArgs& args, int64_t row_begin, int64_t row_end) {
  auto* out = static_cast<Bfloat*>(args.out) + row_begin * args.columns;
  for (int64_t i = row_begin * args.columns; i < row_end * args.columns; i += kSplitGroup) {
    __m512i even, odd;
    load_split(args, i, &even, &odd);
    Avx512Bf16::store(out, even);
    Avx512Bf16::store(out + 32, odd);
    out += kSplitGroup;
  }
}

constexpr LinearKernel kLinear = [] {
  LinearKernel kernel = linear_kernel<Avx512Bf16>();
  kernel.stage = stage_rows;
  kernel.split_only = true;
  return kernel;
}();

// More rows: panels of the weight are decoded for all of them.
using quanthost::cpu::Bf16Panel;
using quanthost::cpu::Bf16Tokens;

Bf16Tokens tokens_at(const void* data, int64_t batch, int64_t columns) {
  return {static_cast<uint16_t*>(const_cast<void*>(data)), batch,
          quanthost::cpu::bf16_steps(columns)};
}

void stage_tokens(const StageArgs& args, int64_t row_begin, int64_t row_end) {
  const Bf16Tokens tokens = tokens_at(args.out, args.batch, args.columns);
  for (int64_t row = row_begin; row < row_end; ++row) {
    uint16_t* out = tokens.at(row, 0);
    const int64_t stride = tokens.stride(row);
    for (int64_t column = 0; column < args.columns; column += kSplitGroup) {
      __m512i even, odd;
      load_split(args, row * args.columns + column, &even, &odd);
      _mm512_store_si512(out, even);
      _mm512_store_si512(out + stride, odd);
      out += 2 * stride;
    }
  }
}

// Decodes rows of a weight: packed bytes and scales of consecutive rows lie together.
class PanelDecoder {
 public:
  PanelDecoder(const PackedMatrix& weight, int64_t row, int64_t rows, const Bf16Panel& panel)
      : codes_(code_table(weight.type)),
        packed_(weight.packed + row * weight.columns / 2),
        scales_(weight.absmax + (row * weight.columns / weight.blocksize - weight.first_block)),
        block_shift_(__builtin_ctzll(static_cast<uint64_t>(weight.blocksize / kSplitGroup))),
        row_parts_(weight.columns / kSplitGroup),
        end_(rows * row_parts_),
        row_end_(rows > 0 ? row_parts_ : 0),
        writer_(panel) {}
  int64_t left() const { return row_end_ - at_; }
  [[gnu::always_inline]] void part() {
    const uint8_t* packed = packed_ + at_ * (kSplitGroup / 2);
    _mm_prefetch(reinterpret_cast<const char*>(packed + kAhead), _MM_HINT_T0);
    __m512i even, odd;
    Avx512Bf16::decode(Avx512Bf16::lookup(_mm512_loadu_ps(codes_), scales_[at_ >> block_shift_]),
                       packed, &even, &odd);
    writer_.put(even);
    writer_.put(odd);
    ++at_;
  }
  [[gnu::always_inline]] bool advance() {
    if (row_end_ == end_) return false;
    row_end_ += row_parts_;
    writer_.next_row();
    return true;
  }

 private:
  static constexpr int64_t kAhead = 4096;  // bytes

  const float* codes_;  // in memory: a product needs all registers
  const uint8_t* packed_;
  const float* scales_;
  int block_shift_;  // parts of a block, as a power of two
  int64_t row_parts_, end_, row_end_;
  int64_t at_ = 0;
  quanthost::cpu::Bf16PanelWriter writer_;
};

int64_t panel_scratch_bytes(int64_t batch, int64_t columns) {
  return quanthost::cpu::bf16_panels_bytes(tokens_at(nullptr, batch, columns));
}

void run_panels(const LinearArgs& args, int64_t begin, int64_t end, void* scratch) {
  const PackedMatrix& weight = args.weight;
  const auto decoder = [&](int64_t row, int64_t rows, const Bf16Panel& panel) {
    return PanelDecoder(weight, row, rows, panel);
  };
  const auto store = [&](int64_t row, int64_t rows) {
    return [&args, row, rows](int64_t token, const float* values) {
      for (int64_t r = 0; r < rows; r += 16)
        store_sixteen(args, token, row + r, rows - r < 16 ? rows - r : 16,
                      _mm512_load_ps(values + r));
    };
  };
  quanthost::cpu::bf16_panels(tokens_at(args.input, args.batch, weight.columns), begin, end,
                              scratch, decoder, store);
}

constexpr LinearKernel kPanels = {
    kSplitGroup, 1, 1, 5, true, Bf16Tokens::bytes, stage_tokens, panel_scratch_bytes, run_panels};

}  // namespace

const KernelTable& avx512_bf16_kernels() {
  static const KernelTable table = {"avx512_bf16",
                                    avx512_kernels().quantize_blocks,
                                    avx512_kernels().dequantize_blocks,
                                    avx512_kernels().expand_scales,
                                    avx512_kernels().linear_float32,
                                    &kLinear,
                                    &kPanels,
                                    avx512_kernels().backward};
  return table;
}

}  // namespace quanthost::bnb4::cpu
