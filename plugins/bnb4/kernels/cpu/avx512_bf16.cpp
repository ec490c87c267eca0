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

// A block of a row: its bytes by its sixteen values, twice in `lookup`.
uint16_t* decode_block(const uint8_t* packed, int64_t blocksize, __m512i lookup, uint16_t* out) {
  for (int64_t i = 0; i < blocksize; i += kSplitGroup) {
    __m512i even, odd;
    Avx512Bf16::decode(lookup, packed + i / 2, &even, &odd);
    _mm512_store_si512(out, even);
    _mm512_store_si512(out + Bf16Panel::kStride, odd);
    out += 2 * Bf16Panel::kStride;
  }
  return out;
}

void decode_row(const PackedMatrix& weight, __m512 codes, int64_t row, uint16_t* out) {
  const int64_t blocks = weight.columns / weight.blocksize, block_bytes = weight.blocksize / 2;
  const float* scales = weight.absmax + (row * blocks - weight.first_block);
  const uint8_t* packed = weight.packed + row * blocks * block_bytes;
  int64_t block = 0;
  for (; block + 2 <= blocks; block += 2, packed += 2 * block_bytes) {
    const __m512bh pair =
        _mm512_cvtne2ps_pbh(_mm512_mul_ps(codes, _mm512_set1_ps(scales[block + 1])),
                            _mm512_mul_ps(codes, _mm512_set1_ps(scales[block])));
    const auto values = reinterpret_cast<const __m512i&>(pair);
    out = decode_block(packed, weight.blocksize, _mm512_shuffle_i64x2(values, values, 0x44), out);
    out = decode_block(packed + block_bytes, weight.blocksize,
                       _mm512_shuffle_i64x2(values, values, 0xee), out);
  }
  if (block < blocks)
    decode_block(packed, weight.blocksize, Avx512Bf16::lookup(codes, scales[block]), out);
}

int64_t panel_scratch_bytes(int64_t, int64_t columns) {
  return Bf16Panel::bytes(columns) + quanthost::cpu::kBf16SumsBytes;
}

void run_panels(const LinearArgs& args, int64_t begin, int64_t end, void* scratch) {
  const PackedMatrix& weight = args.weight;
  const Bf16Tokens tokens = tokens_at(args.input, args.batch, weight.columns);
  const Bf16Panel panel = {static_cast<uint16_t*>(scratch), tokens.steps};
  void* sums = static_cast<uint8_t*>(scratch) + Bf16Panel::bytes(weight.columns);
  const __m512 codes = Avx512Bf16::codes(weight.type);
  const int64_t panel_rows = quanthost::cpu::bf16_panel_rows(weight.columns);
  for (int64_t row = begin; row < end; row += panel_rows) {
    const int64_t rows = end - row < panel_rows ? end - row : panel_rows;
    for (int64_t r = 0; r < rows; ++r) decode_row(weight, codes, row + r, panel.row(r));
    // Rows that fill the last group: any that can be read do.
    for (int64_t r = rows; r % quanthost::cpu::kBf16GroupRows; ++r)
      decode_row(weight, codes, row, panel.row(r));
    const int64_t after = end - row - rows < panel_rows ? end - row - rows : panel_rows;
    const quanthost::cpu::Bf16Ahead ahead(weight.packed + (row + rows) * weight.columns / 2,
                                          after * weight.columns / 2);
    const auto store = [&](int64_t token, const float* values) {
      for (int64_t r = 0; r < rows; r += 16)
        store_sixteen(args, token, row + r, rows - r < 16 ? rows - r : 16,
                      _mm512_load_ps(values + r));
    };
    quanthost::cpu::bf16_product(tokens, panel, rows, ahead, sums, store);
  }
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
