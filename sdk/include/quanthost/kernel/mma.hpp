// One matrix product of a warp: C[16][8] += A[16][16] * B[16][8], bf16_t or half_t in, float32
// accumulated.
//
//   FragmentA<bf16_t> a; FragmentB<bf16_t> b; FragmentC c;
//   c.clear();
//   a.fill([&](int row, int k) { return left[row * 16 + k]; });
//   b.fill([&](int k, int column) { return right[k * 8 + column]; });
//   mma(c, a, b);
//   c.each([&](int row, int column, float value) { out[row * 8 + column] = value; });
//
// All lanes of the warp take part. Which lane holds which element differs between devices, so a
// kernel asks the fragment, as above. Warps of 32 hold the elements as PTX's m16n8k16 does; warps
// of 64 as CDNA's 16x16x16 MFMA does, of which columns 8 to 15 stay unused. A and B come in pairs
// of neighbours along k: one 32-bit register each.
#pragma once

#include <cstdint>

#include "quanthost/kernel/float16.hpp"
#include "quanthost/kernel/vector.hpp"

namespace quanthost::gpu {

struct MmaLayout {
  static constexpr int kRows = 16;
  static constexpr int kColumns = 8;
  static constexpr int kDepth = 16;

  struct Position {
    int row;     // of A or C; the column for B
    int column;  // of C; k for A and B
  };

  QH_DEVICE static bool wide() { return warp_size() == 64; }
  QH_DEVICE static int a_pairs() { return wide() ? 2 : 4; }

  QH_DEVICE static Position a(int lane, int pair) {
    if (wide()) return {lane % 16, lane / 16 * 4 + pair * 2};
    return {lane / 4 + (pair & 1) * 8, lane % 4 * 2 + (pair >> 1) * 8};
  }
  QH_DEVICE static Position b(int lane, int pair) {
    if (wide()) return {lane % 16, lane / 16 * 4 + pair * 2};
    return {lane / 4, lane % 4 * 2 + pair * 8};
  }
  QH_DEVICE static Position c(int lane, int i) {
    if (wide()) return {lane / 16 * 4 + i, lane % 16};
    return {lane / 4 + (i >> 1) * 8, lane % 4 * 2 + (i & 1)};
  }
};

template <class T>
struct FragmentA {
  std::uint32_t pairs[4];

  // element(row, k) gives one element.
  template <class Element>
  QH_DEVICE void fill(Element element) {
    fill_pairs([&](int row, int k) { return Vec<T, 2>{{element(row, k), element(row, k + 1)}}; });
  }
  // pair(row, k) gives the elements k and k + 1 of a row; k is even.
  template <class Pair>
  QH_DEVICE void fill_pairs(Pair pair) {
    QH_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (i >= MmaLayout::a_pairs()) continue;
      const MmaLayout::Position at = MmaLayout::a(lane(), i);
      pairs[i] = bit_cast<std::uint32_t>(pair(at.row, at.column));
    }
  }
};

template <class T>
struct FragmentB {
  std::uint32_t pairs[2];

  // element(k, column) gives one element.
  template <class Element>
  QH_DEVICE void fill(Element element) {
    fill_pairs([&](int k, int column) {
      return Vec<T, 2>{{element(k, column), element(k + 1, column)}};
    });
  }
  // pair(k, column) gives the elements k and k + 1 of a column; k is even.
  template <class Pair>
  QH_DEVICE void fill_pairs(Pair pair) {
    QH_UNROLL
    for (int i = 0; i < 2; ++i) {
      const MmaLayout::Position at = MmaLayout::b(lane(), i);
      pairs[i] =
          at.row < MmaLayout::kColumns ? bit_cast<std::uint32_t>(pair(at.column, at.row)) : 0;
    }
  }
};

struct FragmentC {
  float values[4];

  QH_DEVICE void clear() {
    QH_UNROLL
    for (int i = 0; i < 4; ++i) values[i] = 0;
  }
  // use(row, column, value) for every element this lane holds; `value` may be taken by reference
  // and changed.
  template <class Use>
  QH_DEVICE void each(Use use) {
    QH_UNROLL
    for (int i = 0; i < 4; ++i) {
      const MmaLayout::Position at = MmaLayout::c(lane(), i);
      if (at.column < MmaLayout::kColumns) use(at.row, at.column, values[i]);
    }
  }
};

template <class T>
QH_DEVICE float low_of(std::uint32_t pair) {
  return to_float(T{static_cast<std::uint16_t>(pair & 0xffffu)});
}
template <class T>
QH_DEVICE float high_of(std::uint32_t pair) {
  return to_float(T{static_cast<std::uint16_t>(pair >> 16)});
}

#if defined(QH_TARGET_EMULATED)

// The twin of the hardware's instruction: k runs upwards, each step one fused multiply-add in
// float32. Hardware sums in an order and precision of its own, so results agree within a bound, not
// bit by bit.
template <class T>
void mma(FragmentC& c, const FragmentA<T>& a, const FragmentB<T>& b, Site site = Site::current()) {
  struct Operands {
    std::uint32_t a[4];
    std::uint32_t b[2];
  };
  const bool wide = MmaLayout::wide();
  Operands mine{};
  for (int i = 0; i < MmaLayout::a_pairs(); ++i) mine.a[i] = a.pairs[i];
  for (int i = 0; i < 2; ++i) mine.b[i] = b.pairs[i];
  const emulated::Exchange<Operands> all("mma", warp_size(), mine, site);
  for (int i = 0; i < 4; ++i) {
    const auto [row, column] = MmaLayout::c(lane(), i);
    if (column >= MmaLayout::kColumns) continue;
    for (int k = 0; k < MmaLayout::kDepth; k += 2) {
      const int from_a = wide ? k / 4 * 16 + row : row % 8 * 4 + k % 8 / 2;
      const int from_b = wide ? k / 4 * 16 + column : column * 4 + k % 8 / 2;
      const std::uint32_t left = all[from_a].a[wide ? k % 4 / 2 : row / 8 + k / 8 * 2];
      const std::uint32_t right = all[from_b].b[wide ? k % 4 / 2 : k / 8];
      c.values[i] = __builtin_fmaf(low_of<T>(left), low_of<T>(right), c.values[i]);
      c.values[i] = __builtin_fmaf(high_of<T>(left), high_of<T>(right), c.values[i]);
    }
  }
}

#elif defined(QH_TARGET_CUDA)

QH_DEVICE void mma(FragmentC& c, const FragmentA<bf16_t>& a, const FragmentB<bf16_t>& b,
                   Site = {}) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c.values[0]), "+f"(c.values[1]), "+f"(c.values[2]), "+f"(c.values[3])
      : "r"(a.pairs[0]), "r"(a.pairs[1]), "r"(a.pairs[2]), "r"(a.pairs[3]), "r"(b.pairs[0]),
        "r"(b.pairs[1]));
}
QH_DEVICE void mma(FragmentC& c, const FragmentA<half_t>& a, const FragmentB<half_t>& b,
                   Site = {}) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c.values[0]), "+f"(c.values[1]), "+f"(c.values[2]), "+f"(c.values[3])
      : "r"(a.pairs[0]), "r"(a.pairs[1]), "r"(a.pairs[2]), "r"(a.pairs[3]), "r"(b.pairs[0]),
        "r"(b.pairs[1]));
}

#elif defined(__gfx90a__) || defined(__gfx942__)

typedef float MfmaFloats __attribute__((ext_vector_type(4)));
typedef short MfmaBf16s __attribute__((ext_vector_type(4)));
typedef _Float16 MfmaHalves __attribute__((ext_vector_type(4)));

template <class T>
QH_DEVICE void mma(FragmentC& c, const FragmentA<T>& a, const FragmentB<T>& b, Site = {}) {
  const Vec<std::uint32_t, 2> left{{a.pairs[0], a.pairs[1]}};
  const Vec<std::uint32_t, 2> right{{b.pairs[0], b.pairs[1]}};
  MfmaFloats sum = {c.values[0], c.values[1], c.values[2], c.values[3]};
  if constexpr (__is_same(T, bf16_t)) {
    sum = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(bit_cast<MfmaBf16s>(left),
                                                    bit_cast<MfmaBf16s>(right), sum, 0, 0, 0);
  } else {
    sum = __builtin_amdgcn_mfma_f32_16x16x16f16(bit_cast<MfmaHalves>(left),
                                                bit_cast<MfmaHalves>(right), sum, 0, 0, 0);
  }
  QH_UNROLL
  for (int i = 0; i < 4; ++i) c.values[i] = sum[i];
}

#else

// Devices without matrix instructions (gfx1030): the operands travel by shuffles, k runs upwards.
template <class T>
QH_DEVICE void mma(FragmentC& c, const FragmentA<T>& a, const FragmentB<T>& b, Site = {}) {
  static_assert(sizeof(T) == 2 && warp_size() == 32, "a device with warps of 64 needs MFMA");
  const int group = lane() / 4;
  const int quad = lane() % 4;
  QH_UNROLL
  for (int half = 0; half < 2; ++half) {
    QH_UNROLL
    for (int q = 0; q < 4; ++q) {
      const std::uint32_t upper = shuffle(a.pairs[half * 2], group * 4 + q);
      const std::uint32_t lower = shuffle(a.pairs[half * 2 + 1], group * 4 + q);
      const std::uint32_t left = shuffle(b.pairs[half], quad * 8 + q);
      const std::uint32_t right = shuffle(b.pairs[half], quad * 8 + 4 + q);
      const auto step = [](float& sum, std::uint32_t x, std::uint32_t y) {
        sum = __builtin_fmaf(low_of<T>(x), low_of<T>(y), sum);
        sum = __builtin_fmaf(high_of<T>(x), high_of<T>(y), sum);
      };
      step(c.values[0], upper, left);
      step(c.values[1], upper, right);
      step(c.values[2], lower, left);
      step(c.values[3], lower, right);
    }
  }
}

#endif

}  // namespace quanthost::gpu
