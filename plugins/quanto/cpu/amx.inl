// What AMX adds: sixteen outputs by sixteen tokens by 64 bytes in one instruction.
#pragma once

#include "cpu/bf16.inl"
#include "cpu/linear_wide.inl"

namespace quanthost::quanto {
namespace {

// GCC's tile intrinsics do not tell the compiler which memory they touch.
inline void tile_fence() { __asm__ volatile("" ::: "memory"); }

// Eight full tiles for as long as it lives. Tile state belongs to the thread.
struct TileSession {
  TileSession() {
    struct alignas(64) Config {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    tile_fence();
    _tile_loadconfig(&config);
  }
  ~TileSession() { _tile_release(); }
  TileSession(const TileSession&) = delete;
  TileSession& operator=(const TileSession&) = delete;
};

// Tiles 0 to 3 are sums [outputs][tokens], 4 and 5 outputs of the panel, 6 and 7 tokens.
#define QH_QUANTO_TILE_MULTIPLY(product)                                                      \
  static void multiply(const std::uint8_t* panel, std::int64_t steps, const std::uint8_t* x0, \
                       const std::uint8_t* x1, Sum* sums) {                                   \
    constexpr std::int64_t kHalf = 16 * kWideTokens, kTile = kWideRows * kWideTokens;         \
    const std::uint8_t* second = panel + 16 * kPanelStride;                                   \
    tile_fence();                                                                             \
    _tile_loadd(0, sums, 64);                                                                 \
    _tile_loadd(1, sums + kHalf, 64);                                                         \
    if (x1) {                                                                                 \
      _tile_loadd(2, sums + kTile, 64);                                                       \
      _tile_loadd(3, sums + kTile + kHalf, 64);                                               \
    }                                                                                         \
    for (std::int64_t step = 0; step < steps; ++step) {                                       \
      _tile_loadd(4, panel + step * kStepBytes, kPanelStride);                                \
      _tile_loadd(5, second + step * kStepBytes, kPanelStride);                               \
      _tile_loadd(6, x0 + step * kStepSize, 64);                                              \
      product(0, 4, 6);                                                                       \
      product(1, 5, 6);                                                                       \
      if (x1) {                                                                               \
        _tile_loadd(7, x1 + step * kStepSize, 64);                                            \
        product(2, 4, 7);                                                                     \
        product(3, 5, 7);                                                                     \
      }                                                                                       \
    }                                                                                         \
    _tile_stored(0, sums, 64);                                                                \
    _tile_stored(1, sums + kHalf, 64);                                                        \
    if (x1) {                                                                                 \
      _tile_stored(2, sums + kTile, 64);                                                      \
      _tile_stored(3, sums + kTile + kHalf, 64);                                              \
    }                                                                                         \
    tile_fence();                                                                             \
  }

struct Bf16Rows {
  using Element = std::uint16_t;
  using Sum = float;
  static std::uint32_t staged(std::uint32_t pair) { return pair; }
  static float correction(const LinearArgs&, std::int64_t) { return 0.0f; }
  static void fill(const LinearArgs& a, std::int64_t output, std::int64_t begin, std::int64_t end,
                   std::uint16_t* to) {
    decode_words(a, output, begin, end, [&](std::int64_t i, __m512i words, std::int64_t n) {
      _mm512_mask_storeu_epi16(to + i, word_mask(n), words);
    });
  }
};

struct AmxBf16 : Bf16Rows {
  static constexpr const char* kName = "bf16 amx";
  using Session = TileSession;
  QH_QUANTO_TILE_MULTIPLY(_tile_dpbf16ps)
};

struct AmxInt8 : Int8Rows {
  static constexpr const char* kName = "int8 amx";
  using Session = TileSession;
  static std::uint32_t staged(std::uint32_t four_bytes) { return four_bytes; }
  static std::int32_t correction(const LinearArgs&, std::int64_t) { return 0; }
  QH_QUANTO_TILE_MULTIPLY(_tile_dpbssd)
};

#undef QH_QUANTO_TILE_MULTIPLY

}  // namespace
}  // namespace quanthost::quanto
