// AMX-BF16: the product by tiles, for any number of input rows but one.
//
// A tile product multiplies 16 rows of one operand with 16 columns of the other over 32 elements.
// Weight rows are the row operand, so decoded nibbles need no shuffling; the input is staged once
// as the column operand (pairs of elements interleaved over 16 input rows). The result is the
// transpose, turned back when it is stored.
#include "plugins/bnb4/kernels/cpu/bf16_rows.hpp"

namespace quanthost::bnb4::cpu {
namespace {

constexpr int64_t kTile = 16;           // rows of a tile
constexpr int64_t kDepth = 32;          // bfloat16 elements of a tile row
constexpr int64_t kGroup = 2 * kDepth;  // elements that one decode yields: even ones, then odd ones
constexpr int64_t kTileElements = kTile * kDepth;
constexpr int64_t kPanelTiles = 2;  // weight tiles handled together
constexpr int64_t kPanelRows = kPanelTiles * kTile;

struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

// Tiles 0..3 hold sums (weight tile * 2 + input tile), 4..5 weights, 6..7 inputs.
void configure_tiles() {
  TileConfig config = {};
  config.palette = 1;
  for (int tile = 0; tile < 8; ++tile) {
    config.row_bytes[tile] = 64;
    config.rows[tile] = kTile;
  }
  _tile_loadconfig(&config);
}

// Rows of 16 dwords become columns.
void transpose(__m512i (&rows)[16]) {
  __m512i step[16];
  for (int i = 0; i < 16; i += 2) {
    step[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    step[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(step[i], step[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(step[i], step[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(step[i + 1], step[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(step[i + 1], step[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    step[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
    step[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
    step[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
    step[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm512_shuffle_i32x4(step[i], step[i + 8], 0x88);
    rows[i + 8] = _mm512_shuffle_i32x4(step[i], step[i + 8], 0xdd);
    rows[i + 4] = _mm512_shuffle_i32x4(step[i + 4], step[i + 12], 0x88);
    rows[i + 12] = _mm512_shuffle_i32x4(step[i + 4], step[i + 12], 0xdd);
  }
}

int64_t groups_of(int64_t columns) { return columns / kGroup; }
int64_t batch_tiles(int64_t batch) { return (batch + kTile - 1) / kTile; }

int64_t staged_bytes(int64_t batch, int64_t columns) {
  return batch_tiles(batch) * kTile * columns * 2;
}
int64_t scratch_bytes(int64_t, int64_t columns) {
  return kPanelRows * columns * 2 + kTile * kTile * 4;
}

// Tiles [tile_begin, tile_end) of 16 input rows.
void stage(const StageArgs& args, int64_t row_begin, int64_t row_end) {
  for (int64_t first = row_begin; first < row_end; first += kTile) {
    auto* out = static_cast<uint8_t*>(args.out) + first * args.columns * 2;
    const int64_t rows = args.batch - first < kTile ? args.batch - first : kTile;
    for (int64_t group = 0; group < groups_of(args.columns); ++group) {
      __m512i evens[16], odds[16];
      for (int64_t r = 0; r < kTile; ++r) {
        evens[r] = odds[r] = _mm512_setzero_si512();
        if (r >= rows) continue;
        load_split(args, (first + r) * args.columns + group * kGroup, &evens[r], &odds[r]);
      }
      transpose(evens);
      transpose(odds);
      for (int i = 0; i < 16; ++i) _mm512_store_si512(out + i * 64, evens[i]);
      for (int i = 0; i < 16; ++i) _mm512_store_si512(out + 1024 + i * 64, odds[i]);
      out += 2048;
    }
  }
}

// Decodes one group of columns of 16 weight rows into two tiles. Rows from `end` on repeat the last
// one.
void decode_group(const PackedMatrix& weight, __m512 codes, int64_t row, int64_t end,
                  int64_t column, uint8_t* out) {
  const int64_t row_bytes = weight.columns / 2;
  const int64_t row_blocks = weight.columns / weight.blocksize;
  const int64_t block = column / weight.blocksize;
  for (int64_t r = 0; r < kTile; ++r) {
    const int64_t at = row + r < end ? row + r : end - 1;
    const uint8_t* packed = weight.packed + at * row_bytes + column / 2;
    _mm_prefetch(reinterpret_cast<const char*>(packed + 256), _MM_HINT_T0);
    const __m512 scale =
        _mm512_set1_ps(weight.absmax[at * row_blocks + block - weight.first_block]);
    const __m512i values = _mm512_broadcast_i64x4(
        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_mul_ps(codes, scale))));
    const __m512i bytes =
        _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(packed)));
    _mm512_store_si512(out + r * 64, _mm512_permutexvar_epi16(_mm512_srli_epi16(bytes, 4), values));
    _mm512_store_si512(out + 1024 + r * 64, _mm512_permutexvar_epi16(bytes, values));
  }
}

void store_tile(const LinearArgs& args, int64_t batch_row, int64_t weight_row, int64_t row_end,
                const float* tile) {
  const int64_t weight_rows = row_end - weight_row < kTile ? row_end - weight_row : kTile;
  const int64_t batch_rows = args.batch - batch_row < kTile ? args.batch - batch_row : kTile;
  if (weight_rows <= 0 || batch_rows <= 0) return;
  __m512i rows[16];
  for (int i = 0; i < 16; ++i) rows[i] = _mm512_load_si512(tile + i * 16);
  transpose(rows);
  for (int64_t b = 0; b < batch_rows; ++b) {
    store_sixteen(args, batch_row + b, weight_row, weight_rows, _mm512_castsi512_ps(rows[b]));
  }
}

// Two weight tiles times one or two input tiles over all columns. `decode`: the panel is filled on
// the way.
template <int kInputs>
void panel_product(const LinearArgs& args, __m512 codes, int64_t row, int64_t end,
                   int64_t input_tile, bool decode, uint8_t* panel) {
  const int64_t groups = groups_of(args.weight.columns);
  const auto* first = static_cast<const uint8_t*>(args.input) + input_tile * groups * 2048;
  const auto* second = first + groups * 2048;
  _tile_zero(0);
  _tile_zero(2);
  if (kInputs == 2) {
    _tile_zero(1);
    _tile_zero(3);
  }
  for (int64_t group = 0; group < groups; ++group) {
    uint8_t* weights = panel + group * kPanelTiles * 2048;
    if (decode) {
      decode_group(args.weight, codes, row, end, group * kGroup, weights);
      decode_group(args.weight, codes, row + kTile, end, group * kGroup, weights + 2048);
    }
    for (int half = 0; half < 2; ++half) {
      const int64_t offset = half * 1024;
      _tile_loadd(4, weights + offset, 64);
      _tile_loadd(6, first + group * 2048 + offset, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(5, weights + 2048 + offset, 64);
      _tile_dpbf16ps(2, 5, 6);
      if (kInputs == 2) {
        _tile_loadd(7, second + group * 2048 + offset, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
  }
}

void run_tiles(const LinearArgs& args, int64_t begin, int64_t end, void* scratch) {
  auto* panel = static_cast<uint8_t*>(scratch);
  auto* tile = reinterpret_cast<float*>(panel + kPanelRows * args.weight.columns * 2);
  const __m512 codes = _mm512_loadu_ps(code_table(args.weight.type));
  const int64_t inputs = batch_tiles(args.batch);
  configure_tiles();
  for (int64_t row = begin; row < end; row += kPanelRows) {
    for (int64_t input = 0; input < inputs; input += 2) {
      const bool pair = input + 1 < inputs;
      (pair ? panel_product<2> : panel_product<1>)(args, codes, row, end, input, input == 0, panel);
      _tile_stored(0, tile, 64);
      store_tile(args, input * kTile, row, end, tile);
      _tile_stored(2, tile, 64);
      store_tile(args, input * kTile, row + kTile, end, tile);
      if (!pair) continue;
      _tile_stored(1, tile, 64);
      store_tile(args, (input + 1) * kTile, row, end, tile);
      _tile_stored(3, tile, 64);
      store_tile(args, (input + 1) * kTile, row + kTile, end, tile);
    }
  }
  _tile_release();
}

constexpr LinearKernel kTiles = {kGroup,       kPanelRows, kTile,         2,        true,
                                 staged_bytes, stage,      scratch_bytes, run_tiles};

}  // namespace

const KernelTable& amx_kernels() {
  static const KernelTable table = [] {
    KernelTable result = avx512_bf16_kernels();
    result.name = "amx";
    result.linear_bfloat16_tiles = &kTiles;
    return result;
  }();
  return table;
}

}  // namespace quanthost::bnb4::cpu
