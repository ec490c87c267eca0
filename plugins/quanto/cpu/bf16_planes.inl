// y = x · Wᵀ in bfloat16 for more than a few tokens by 2- and 4-bit weights whose outputs each lie
// in one plane (AVX512-BF16). Codes are looked up on their way into the product, which takes units
// of the processor that products leave idle, and a byte is read once for the outputs of two planes.
#pragma once

#include <quanthost/cpu/bf16_product.hpp>

#include "cpu/bf16_panel.inl"
#include "cpu/bf16_plane_tables.inl"

namespace quanthost::quanto {
namespace {

// Streams of bytes that pass while a block of a tile's inputs stays in the first cache. With two
// planes they are as many outputs as bf16_lane_sums() sums.
inline constexpr std::int64_t kStripStreams = 8;
inline constexpr std::int64_t kBlockColumns = 1024;

inline bool takes_planes_path(const LinearArgs& a) {
  return takes_bf16_panel(a) && is_affine(a.weight.qtype) && streams_are_whole(a) &&
         a.weight.columns % kPartColumns == 0;
}

inline std::int64_t plane_streams(const LinearArgs& a) { return a.outputs / a.weight.per_byte(); }

// Even columns of a part are staged before the odd ones.
inline void planes_stage(const LinearArgs& a, std::int64_t begin, std::int64_t end) {
  const cpu::Bf16Tokens tokens = panel_tokens(a);
  for (std::int64_t t = begin; t < end; ++t) {
    const auto* from = static_cast<const BFloat16*>(a.x) + t * a.inputs;
    std::uint16_t* to = tokens.at(t, 0);
    const std::int64_t stride = tokens.stride(t);
    for (std::int64_t k = 0; k < a.inputs; k += kPartColumns, to += 2 * stride) {
      const EvenOdd words =
          even_and_odd(_mm512_loadu_si512(from + k), _mm512_loadu_si512(from + k + 32));
      _mm512_store_si512(to, words.even);
      _mm512_store_si512(to + stride, words.odd);
    }
  }
}

// Two planes of consecutive streams: 2 * streams outputs.
struct PlaneStrip {
  std::int64_t stream, streams;
  int plane;
};

// Sums of a strip: [plane][stream][token].
inline constexpr std::int64_t kStripSumsBytes = 2 * kStripStreams * cpu::kBf16TileTokens * 64;

// A block of a stream for a tile: where its bytes are and how far on those that are asked for
// meanwhile, the inputs, its first table, and the first of those that are made meanwhile.
struct StreamBlock {
  const std::uint8_t* codes;
  std::int64_t ahead;
  const std::uint16_t* inputs;
  std::int64_t units, group_units, table, next_table;
};

// sums[plane][token] += W · x over a block; they begin at zero when `fresh`. A unit of kParts parts
// has one table for each plane.
template <int kBits, int kPlane, int kTokens, int kParts, bool kMake>
[[gnu::noinline]] void planes_tile(const PlaneTables& tables, const StreamBlock& block, bool fresh,
                                   __m512* first, __m512* second) {
  __m512 acc[2][kTokens];
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
    acc[0][t] = fresh ? _mm512_setzero_ps() : first[t];
    acc[1][t] = fresh ? _mm512_setzero_ps() : second[t];
  }
  const std::uint8_t* codes_at = block.codes;
  const std::uint16_t* inputs = block.inputs;
  const __m256i* halves = tables.at(block.table);
  std::int64_t next_table = block.next_table, units_left = block.group_units;
  for (std::int64_t unit = block.units; unit > 0; --unit) {
    const __m512i table = _mm512_broadcast_i64x4(halves[0]),
                  table2 = _mm512_broadcast_i64x4(halves[1]);
    if constexpr (kMake) tables.make(next_table);
#pragma GCC unroll 2
    for (int part = 0; part < kParts; ++part) {
      _mm_prefetch(reinterpret_cast<const char*>(codes_at + block.ahead), _MM_HINT_T0);
      const __m512i codes = _mm512_loadu_si512(codes_at);
      codes_at += kPartColumns;
#pragma GCC unroll 2
      for (int odd = 0; odd < 2; ++odd) {
        const __m512i at_first = _mm512_srli_epi16(codes, odd * 8 + kPlane * kBits),
                      at_second = _mm512_srli_epi16(codes, odd * 8 + (kPlane + 1) * kBits);
        const __m512bh w = cpu::as_bf16(_mm512_permutexvar_epi16(at_first, table)),
                       w2 = cpu::as_bf16(_mm512_permutexvar_epi16(at_second, table2));
#pragma GCC unroll 8
        for (int t = 0; t < kTokens; ++t) {
          const __m512bh x = cpu::as_bf16(_mm512_load_si512(inputs + t * cpu::kBf16Step));
          acc[0][t] = _mm512_dpbf16_ps(acc[0][t], x, w);
          acc[1][t] = _mm512_dpbf16_ps(acc[1][t], x, w2);
        }
        inputs += kTokens * cpu::kBf16Step;
      }
    }
    // Not a loop of a group's units: the processor foresees nested loops of a few rounds badly.
    const std::int64_t step = --units_left == 0;
    units_left = step ? block.group_units : units_left;
    halves += 2 * step;
    next_table += step;
  }
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
    first[t] = acc[0][t];
    second[t] = acc[1][t];
  }
}

inline void store_strip_sums(const LinearArgs& a, const PlaneStrip& strip, std::int64_t token,
                             const __m512* sums, std::int64_t stride) {
  static_assert(kStripStreams == 8);
  alignas(64) float values[2 * kStripStreams];
  _mm512_store_ps(values, cpu::bf16_lane_sums(sums, stride));
  for (int p = 0; p < 2; ++p)
    write_outputs(a, token, (strip.plane + p) * plane_streams(a) + strip.stream, strip.streams,
                  values + p * kStripStreams);
}

// Groups [g, end) of a strip for a tile.
template <int kBits, int kPlane, int kTokens>
inline void strip_block(const LinearArgs& a, const PlaneTables& tables, const PlaneStrip& strip,
                        std::int64_t first_token, std::int64_t g, std::int64_t end, __m512* sums) {
  using Tile = decltype(&planes_tile<kBits, kPlane, kTokens, 1, false>);
  static constexpr Tile kTiles[2][2] = {
      {planes_tile<kBits, kPlane, kTokens, 1, false>, planes_tile<kBits, kPlane, kTokens, 1, true>},
      {planes_tile<kBits, kPlane, kTokens, 2, false>,
       planes_tile<kBits, kPlane, kTokens, 2, true>}};
  const std::int64_t group_parts = a.weight.columns / kPartColumns,
                     group_units = group_parts % 2 == 0 ? group_parts / 2 : group_parts;
  const auto& tiles = kTiles[group_units != group_parts];
  const std::int64_t begin_column = g * a.weight.columns, end_column = end * a.weight.columns;
  // Asked for: the same stream's next block, then the first one of the next strip.
  const std::int64_t ahead =
      end < a.groups ? end_column - begin_column : kStripStreams * a.inputs - begin_column;
  const std::uint16_t* inputs =
      panel_tokens(a).data + first_token * a.inputs + begin_column * kTokens;
  const bool make = first_token == 0 && !tables.made();
  for (std::int64_t i = g; i < end && make; ++i) tables.make(i);
  for (std::int64_t i = 0; i < strip.streams; ++i) {
    const std::int64_t table = i * a.groups + g;
    const StreamBlock block = {a.weight.data + (strip.stream + i) * a.inputs + begin_column,
                               ahead,
                               inputs,
                               (end - g) * group_units,
                               group_units,
                               table,
                               table + a.groups};
    tiles[make && i + 1 < strip.streams](tables, block, g == 0, sums + i * kTokens,
                                         sums + (kStripStreams + i) * kTokens);
  }
}

template <int kBits, int kPlane, int kTokens>
inline void strip_tile(const LinearArgs& a, const PlaneTables& tables, const PlaneStrip& strip,
                       std::int64_t first_token, __m512* sums) {
  const std::int64_t fitting = kBlockColumns / a.weight.columns, step = fitting > 0 ? fitting : 1;
  for (std::int64_t g = 0; g < a.groups; g += step)
    strip_block<kBits, kPlane, kTokens>(a, tables, strip, first_token, g,
                                        g + step < a.groups ? g + step : a.groups, sums);
  for (int t = 0; t < kTokens; ++t) store_strip_sums(a, strip, first_token + t, sums + t, kTokens);
}

template <int kBits, int kPlane>
inline void run_strip(const LinearArgs& a, PlaneTables& tables, std::int64_t stream, __m512* sums) {
  const cpu::Bf16Tokens tokens = panel_tokens(a);
  const std::int64_t left = plane_streams(a) - stream;
  const PlaneStrip strip = {stream, left < kStripStreams ? left : kStripStreams, kPlane};
  const std::int64_t plane_rows = plane_streams(a) * a.groups;
  tables.begin(a.weight, kPlane * plane_rows + stream * a.groups, plane_rows,
               strip.streams * a.groups);
  for (std::int64_t tile = 0; tile < tokens.tiles(); ++tile) {
    const std::int64_t first = tokens.tile_begin(tile);
    const auto run = [&](auto size) {
      strip_tile<kBits, kPlane, decltype(size)::value>(a, tables, strip, first, sums);
    };
    switch (tokens.tile_begin(tile + 1) - first) {  // of more than four tokens: four at least
      // clang-format off
      case 4: run(std::integral_constant<int, 4>()); break;
      case 5: run(std::integral_constant<int, 5>()); break;
      case 6: run(std::integral_constant<int, 6>()); break;
      case 7: run(std::integral_constant<int, 7>()); break;
      default: run(std::integral_constant<int, 8>());
        // clang-format on
    }
  }
}

inline const LinearPath kPlanesPath = {
    "bf16 planes",
    [](const LinearArgs& a) { return cpu::Bf16Tokens::bytes(a.tokens, a.inputs); },
    [](const LinearArgs& a) { return a.tokens; },
    planes_stage,
    [](const LinearArgs& a) { return ceil_div(plane_streams(a), kStripStreams); },
    [](const LinearArgs& a) {
      return kStripSumsBytes + PlaneTables::bytes(kStripStreams, a.groups);
    },
    [](const LinearArgs& a, std::int64_t begin, std::int64_t end, void* scratch) {
      auto* const sums = static_cast<__m512*>(scratch);
      PlaneTables tables(a, kStripStreams, static_cast<std::uint8_t*>(scratch) + kStripSumsBytes);
      for (std::int64_t stream = begin * kStripStreams; stream < end * kStripStreams;
           stream += kStripStreams) {
        if (a.weight.qtype == QType::int4) {
          run_strip<4, 0>(a, tables, stream, sums);
        } else {
          run_strip<2, 0>(a, tables, stream, sums);
          run_strip<2, 2>(a, tables, stream, sums);
        }
      }
    }};

}  // namespace
}  // namespace quanthost::quanto
