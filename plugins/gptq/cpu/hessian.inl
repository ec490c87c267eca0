// Products of all columns of a calibration input with each other, in tiles above the diagonal that
// are mirrored below it. Included by each instruction set's file, which says how elements are
// multiplied:
//   Stored, Factor, kTokens        what is staged of kTokens tokens and one column; a vector of it
//   stage(args, step, first, out)  the vector of the columns from `first` on
//   load, broadcast, add_product   over staged vectors and single ones
#pragma once

#include <quanthost/cpu/simd.hpp>

#include "cpu/kernels.hpp"
#include "cpu/typed.hpp"

namespace quanthost::gptq {
namespace {

using namespace quanthost::cpu;

// A tile's rows and vectors are what the registers hold.
template <typename Products>
struct HessianTiles {
  using Stored = typename Products::Stored;
  static constexpr int kRows = kLanes == 16 ? 8 : 4;
  static constexpr int kVectors = kLanes == 1 ? 16 : 3;
  static constexpr std::int64_t kPanel = kVectors * kLanes;  // columns; a multiple of kRows

  static std::int64_t steps_of(const HessianArgs& a) {
    return (a.tokens + Products::kTokens - 1) / Products::kTokens;
  }
  static std::int64_t panels_of(std::int64_t columns) { return (columns + kPanel - 1) / kPanel; }

  static std::int64_t staged_bytes(const HessianArgs& a) {
    return panels_of(a.columns) * kPanel * steps_of(a) * static_cast<std::int64_t>(sizeof(Stored));
  }
  static std::int64_t tiles(std::int64_t columns) {
    return panels_of(columns) * (panels_of(columns) + 1) / 2;
  }

  static void stage(const HessianArgs& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t steps = steps_of(a);
    for (std::int64_t panel = begin; panel < end; ++panel) {
      Stored* to = static_cast<Stored*>(a.staged) + panel * steps * kPanel;
      for (std::int64_t step = 0; step < steps; ++step)
        for (int v = 0; v < kVectors; ++v, to += kLanes)
          Products::stage(a, step, panel * kPanel + v * kLanes, to);
    }
  }

  static void run(const HessianArgs& a, std::int64_t begin, std::int64_t end) {
    const std::int64_t panels = panels_of(a.columns);
    std::int64_t row = 0, before = 0;  // tiles of the rows above
    for (std::int64_t tile = begin; tile < end; ++tile) {
      while (tile - before >= panels - row) before += panels - row++;
      run_tile(a, row, row + tile - before);
    }
  }

 private:
  static void run_tile(const HessianArgs& a, std::int64_t row_panel, std::int64_t column_panel) {
    const std::int64_t steps = steps_of(a);
    const auto* rows = static_cast<const Stored*>(a.staged) + row_panel * steps * kPanel;
    const auto* columns = static_cast<const Stored*>(a.staged) + column_panel * steps * kPanel;
    alignas(64) float sums[kPanel * kPanel];
    for (std::int64_t r = 0; r < kPanel; r += kRows)
      multiply(rows + r, columns, steps, sums + r * kPanel);
    add(a, row_panel * kPanel, column_panel * kPanel, sums);
  }

  static void multiply(const Stored* rows, const Stored* columns, std::int64_t steps, float* out) {
    Floats sums[kRows][kVectors];
// Sums are in registers only where every loop over them is unrolled.
#pragma GCC unroll 32
    for (int i = 0; i < kRows * kVectors; ++i) sums[i / kVectors][i % kVectors] = floats(0.0f);
    for (std::int64_t step = 0; step < steps; ++step, rows += kPanel, columns += kPanel) {
      typename Products::Factor of_columns[kVectors];
#pragma GCC unroll 32
      for (int v = 0; v < kVectors; ++v) of_columns[v] = Products::load(columns + v * kLanes);
#pragma GCC unroll 32
      for (int r = 0; r < kRows; ++r) {
        const auto of_row = Products::broadcast(rows + r);
#pragma GCC unroll 32
        for (int v = 0; v < kVectors; ++v)
          sums[r][v] = Products::add_product(sums[r][v], of_row, of_columns[v]);
      }
    }
#pragma GCC unroll 32
    for (int i = 0; i < kRows * kVectors; ++i)
      store(out + i / kVectors * kPanel + i % kVectors * kLanes, sums[i / kVectors][i % kVectors]);
  }

  static void add(const HessianArgs& a, std::int64_t row0, std::int64_t column0, float* sums) {
    const std::int64_t rows = smaller(kPanel, a.columns - row0);
    const std::int64_t columns = smaller(kPanel, a.columns - column0);
    for (std::int64_t r = 0; r < rows; ++r) {
      float* to = a.hessian + (row0 + r) * a.columns + column0;
      float* sum = sums + r * kPanel;
      for (std::int64_t c = 0; c < columns; ++c)
        to[c] = sum[c] = (a.keep == 0.0f ? 0.0f : a.keep * to[c]) + a.factor * sum[c];
    }
    if (row0 == column0) return;  // both triangles had the same sums
    for (std::int64_t c = 0; c < columns; ++c) {
      float* to = a.hessian + (column0 + c) * a.columns + row0;
      for (std::int64_t r = 0; r < rows; ++r) to[r] = sums[r * kPanel + c];
    }
  }
};

template <typename Products>
inline constexpr HessianProduct kHessianProduct = {
    HessianTiles<Products>::kPanel, HessianTiles<Products>::staged_bytes,
    HessianTiles<Products>::tiles, HessianTiles<Products>::stage, HessianTiles<Products>::run};

// Every type in float32.
struct FloatProducts {
  using Stored = float;
  using Factor = Floats;
  static constexpr std::int64_t kTokens = 1;

  static void stage(const HessianArgs& a, std::int64_t token, std::int64_t first, float* out) {
    const std::int64_t left = a.columns - first;
    const int count = left < kLanes ? static_cast<int>(left < 0 ? 0 : left) : kLanes;
    with_type(a.type, [&](auto tag) {
      using T = decltype(tag);
      const T* from = static_cast<const T*>(a.inputs) + token * a.columns + first;
      store(out, count == kLanes ? cpu::load(from)
                 : count > 0     ? load_n(from, count)
                                 : floats(0.0f));
    });
  }
  static Floats load(const float* p) { return cpu::load(p); }
  static Floats broadcast(const float* p) { return floats(*p); }
  static Floats add_product(Floats sum, Floats a, Floats b) { return fma(a, b, sum); }
};

}  // namespace
}  // namespace quanthost::gptq
