// y = x · Wᵀ in pairs of bfloat16, summed in float32 (AVX512-BF16), for weights whose rows are
// decoded a panel at a time. For files that the compiler may use -mavx512bf16 in.
//
// x is laid out once (Bf16Tokens), a panel of W for each range of rows (Bf16Panel); where a format
// finds its columns in another order, both sides may have them in that one. Sums of a row do not
// depend on what else is in a panel or a tile. Subnormal inputs and weights count as zero.
#pragma once

#ifndef __AVX512BF16__
#error "bf16_product.hpp is for files that are compiled with -mavx512bf16"
#endif

#include <immintrin.h>

#include <cstdint>
#include <type_traits>
#include <utility>

namespace quanthost::cpu {
namespace {

inline constexpr std::int64_t kBf16Step = 32;  // columns of a register
inline constexpr std::int64_t kBf16StepBytes = 64;
// Sums of a group of rows by a tile of tokens fill the registers: 24, beside three weights and an
// input.
inline constexpr std::int64_t kBf16GroupRows = 3, kBf16TileTokens = 8;
inline constexpr std::int64_t kBf16PanelRows = 48;
// Steps that a tile of inputs stays in the first cache for, while the groups of a panel pass.
inline constexpr std::int64_t kBf16BlockSteps = 32;

inline std::int64_t bf16_steps(std::int64_t columns) {
  return (columns + kBf16Step - 1) / kBf16Step;
}

// The inputs: tiles of up to eight tokens; in a tile, step after step has 32 columns of each token.
struct Bf16Tokens {
  std::uint16_t* data;  // 64-byte aligned
  std::int64_t tokens;
  std::int64_t steps;

  static std::int64_t bytes(std::int64_t tokens, std::int64_t columns) {
    return tokens * bf16_steps(columns) * kBf16StepBytes;
  }
  // Tiles are as equal as they can be.
  std::int64_t tiles() const { return (tokens + kBf16TileTokens - 1) / kBf16TileTokens; }
  std::int64_t tile_begin(std::int64_t tile) const { return tokens * tile / tiles(); }
  // Where 32 columns of a token belong.
  std::uint16_t* at(std::int64_t token, std::int64_t step) const {
    std::int64_t tile = token * tiles() / tokens;
    if (token >= tile_begin(tile + 1)) ++tile;
    const std::int64_t begin = tile_begin(tile), size = tile_begin(tile + 1) - begin;
    return data + (begin * steps + step * size + token - begin) * kBf16Step;
  }
  // From a step of a token to its next one.
  std::int64_t stride(std::int64_t token) const { return at(token, 1) - at(token, 0); }
};

// Decoded rows, in groups of three; in a group, step after step has 32 columns of each row.
struct Bf16Panel {
  std::uint16_t* data;  // 64-byte aligned
  std::int64_t steps;

  static constexpr std::int64_t kStride = kBf16GroupRows * kBf16Step;  // to a row's next step
  static std::int64_t bytes(std::int64_t rows, std::int64_t steps) {
    return rows * steps * kBf16StepBytes;
  }
  std::uint16_t* row(std::int64_t r) const {
    return data + (r / kBf16GroupRows * kBf16GroupRows * steps + r % kBf16GroupRows) * kBf16Step;
  }
};

// Where decoded words of a panel belong.
class Bf16PanelWriter {
 public:
  explicit Bf16PanelWriter(const Bf16Panel& panel)
      : to_(panel.data), row_(panel.data), steps_(panel.steps) {}
  // The next 32 columns of the row.
  [[gnu::always_inline]] void put(__m512i words) {
    _mm512_store_si512(to_, words);
    to_ += Bf16Panel::kStride;
  }
  [[gnu::always_inline]] void next_row() {
    if (++in_group_ < kBf16GroupRows) {
      row_ += kBf16Step;
    } else {
      row_ += Bf16Panel::kStride * steps_ - (kBf16GroupRows - 1) * kBf16Step;
      in_group_ = 0;
    }
    to_ = row_;
  }

 private:
  std::uint16_t* to_;
  std::uint16_t* row_;  // its first step
  std::int64_t steps_, in_group_ = 0;
};

inline __m512bh as_bf16(__m512i v) { return reinterpret_cast<__m512bh&>(v); }

// sums[row][token] += weights · inputs over `steps` steps; they begin at zero when `fresh`. After
// each step kParts parts of the next panel are decoded, on units of the processor that products
// leave idle.
template <int kTokens, int kParts, class Decoder>
inline void bf16_tile(const std::uint16_t* weights, const std::uint16_t* inputs, std::int64_t steps,
                      bool fresh, Decoder& next_panel, __m512* sums) {
  constexpr int kRows = kBf16GroupRows;
  Decoder decoder = next_panel;  // in registers
  __m512 acc[kRows][kTokens];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t)
      acc[r][t] = fresh ? _mm512_setzero_ps() : sums[r * kTokens + t];
  const auto step = [&]() __attribute__((always_inline)) {
    __m512bh w[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) w[r] = as_bf16(_mm512_load_si512(weights + r * kBf16Step));
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      const __m512bh x = as_bf16(_mm512_load_si512(inputs + t * kBf16Step));
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) acc[r][t] = _mm512_dpbf16_ps(acc[r][t], x, w[r]);
    }
    weights += kRows * kBf16Step;
    inputs += kTokens * kBf16Step;
  };
  while (steps > 0 && decoder.left() > 0) {
    std::int64_t both = decoder.left() / kParts;
    if (both > steps) both = steps;
    steps -= both;
    for (; both > 0; --both) {
      step();
#pragma GCC unroll 2
      for (int i = 0; i < kParts; ++i) decoder.part();
    }
    if (decoder.left() >= kParts) break;
    while (decoder.left() > 0) decoder.part();
    decoder.advance();
  }
  for (; steps > 0; --steps) step();
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) sums[r * kTokens + t] = acc[r][t];
  next_panel = decoder;
}

// The sums of sixteen registers that lie `stride` apart.
inline __m512 bf16_lane_sums(const __m512* v, std::int64_t stride) {
  const auto pairs = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  };
  __m512 fours[4];  // quarters that hold sums of four registers
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512* from = v + 4 * i * stride;
    const __m512d a = _mm512_castps_pd(pairs(from[0], from[stride])),
                  b = _mm512_castps_pd(pairs(from[2 * stride], from[3 * stride]));
    fours[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                             _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  const auto halves = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  };
  return halves(halves(fours[0], fours[1]), halves(fours[2], fours[3]));
}

template <int kTokens, int kParts, class Decoder, class Store>
inline void bf16_tile_product(const Bf16Tokens& x, std::int64_t first_token, const Bf16Panel& panel,
                              std::int64_t rows, Decoder& next, __m512* sums, Store& store) {
  const std::uint16_t* inputs = x.data + first_token * x.steps * kBf16Step;
  for (std::int64_t s = 0; s < x.steps; s += kBf16BlockSteps) {
    const std::int64_t steps = x.steps - s < kBf16BlockSteps ? x.steps - s : kBf16BlockSteps;
    for (std::int64_t r = 0; r < rows; r += kBf16GroupRows)
      bf16_tile<kTokens, kParts>(panel.row(r) + s * Bf16Panel::kStride,
                                 inputs + s * kTokens * kBf16Step, steps, s == 0, next,
                                 sums + r * kTokens);
  }
  alignas(64) float values[kBf16PanelRows];
  for (int t = 0; t < kTokens; ++t) {
    for (std::int64_t r = 0; r < rows; r += 16)
      _mm512_store_ps(values + r, bf16_lane_sums(sums + r * kTokens + t, kTokens));
    store(first_token + t, values);
  }
}

// store(token, sums) for each token: the sums of the panel's first `rows` rows; what follows them
// has no meaning.
template <int kParts, class Decoder, class Store>
inline void bf16_product(const Bf16Tokens& x, const Bf16Panel& panel, std::int64_t rows,
                         Decoder& next, __m512* sums, Store&& store) {
  for (std::int64_t tile = 0; tile < x.tiles(); ++tile) {
    const std::int64_t first = x.tile_begin(tile);
    const auto run = [&](auto tokens) {
      // Where there are several tiles, they have four tokens and more each.
      if constexpr (kParts != 1 || decltype(tokens)::value >= 4)
        bf16_tile_product<decltype(tokens)::value, kParts>(x, first, panel, rows, next, sums,
                                                           store);
    };
    switch (x.tile_begin(tile + 1) - first) {
      // clang-format off
      case 1: run(std::integral_constant<int, 1>()); break;
      case 2: run(std::integral_constant<int, 2>()); break;
      case 3: run(std::integral_constant<int, 3>()); break;
      case 4: run(std::integral_constant<int, 4>()); break;
      case 5: run(std::integral_constant<int, 5>()); break;
      case 6: run(std::integral_constant<int, 6>()); break;
      case 7: run(std::integral_constant<int, 7>()); break;
      default: run(std::integral_constant<int, 8>());
        // clang-format on
    }
  }
}

// Rows that are decoded at once: two such panels stay in a second cache of 1 MiB, with room for
// inputs.
inline std::int64_t bf16_rows_at_once(const Bf16Tokens& x) {
  constexpr std::int64_t kPanelBytes = 288 << 10;
  std::int64_t rows = kBf16PanelRows;
  while (rows > 12 && Bf16Panel::bytes(rows, x.steps) > kPanelBytes) rows /= 2;
  return rows;
}

// Memory that bf16_panels() needs beside x.
inline constexpr std::int64_t kBf16SumsBytes = kBf16PanelRows * kBf16TileTokens * 64;
inline std::int64_t bf16_panels_bytes(const Bf16Tokens& x) {
  return kBf16SumsBytes + 2 * Bf16Panel::bytes(bf16_rows_at_once(x), x.steps);
}

// All that is left of a panel.
template <class Decoder>
inline void bf16_finish(Decoder& decoder) {
  do {
    while (decoder.left() > 0) decoder.part();
  } while (decoder.advance());
}

// The product for weight rows [begin, end), a panel at a time; while one is multiplied, the next is
// decoded. `memory`: bf16_panels_bytes(), 64-byte aligned.
// decoder(row, rows, panel): what decodes these rows (perhaps none) into the panel. part() decodes
// some 64 columns of a stretch, left() counts the parts that it still has, advance() goes on to the
// next stretch or returns false.
// store(row, rows): a function of a token and its sums for these rows, in floats that lie together
// and may be read up to a multiple of sixteen.
template <class MakeDecoder, class MakeStore>
inline void bf16_panels(const Bf16Tokens& x, std::int64_t begin, std::int64_t end, void* memory,
                        MakeDecoder&& decoder, MakeStore&& store) {
  const std::int64_t at_once = bf16_rows_at_once(x);
  auto* sums = static_cast<__m512*>(memory);
  auto* data = static_cast<std::uint16_t*>(memory) + kBf16SumsBytes / 2;
  Bf16Panel panel = {data, x.steps},
            next_panel = {data + Bf16Panel::bytes(at_once, x.steps) / 2, x.steps};
  const auto rows_at = [&](std::int64_t row) {
    const std::int64_t left = row < end ? end - row : 0;
    return left < at_once ? left : at_once;
  };
  auto first = decoder(begin, rows_at(begin), panel);
  bf16_finish(first);
  for (std::int64_t row = begin; row < end; row += at_once) {
    const std::int64_t next_row = end - row < at_once ? end : row + at_once;
    auto next = decoder(next_row, rows_at(next_row), next_panel);
    // A step of a tile is so much for three rows: 1.5 parts for one tile, 0.75 for each of two.
    if (x.tiles() == 1)
      bf16_product<2>(x, panel, rows_at(row), next, sums, store(row, rows_at(row)));
    else
      bf16_product<1>(x, panel, rows_at(row), next, sums, store(row, rows_at(row)));
    bf16_finish(next);
    std::swap(panel, next_panel);
  }
}

}  // namespace
}  // namespace quanthost::cpu
