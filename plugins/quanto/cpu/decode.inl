// Pieces of output rows as dense values, for the matrix products.
#pragma once

#include "cpu/quantize.inl"

namespace quanthost::quanto {
namespace {

// Where a piece of an output row lies: `count` bytes of one group, one value in each at
// `bit_offset`.
struct Piece {
  const std::uint8_t* bytes;
  std::int64_t row;  // of scale and shift
  std::int64_t count;
  int bit_offset;
};

inline Piece find_piece(const LinearArgs& a, std::int64_t output, std::int64_t column,
                        std::int64_t end) {
  const Matrix& m = a.weight;
  const std::int64_t group = column / m.columns, within = column - group * m.columns;
  const std::int64_t row = output * a.groups + group;
  const std::int64_t packed_rows = m.packed_rows();
  const std::int64_t plane = row / packed_rows;
  const std::int64_t left = m.columns - within, wanted = end - column;
  return {m.data + (row - plane * packed_rows) * m.columns + within, row,
          left < wanted ? left : wanted, static_cast<int>(plane) * bit_width(m.qtype)};
}

// The pieces of columns [begin, end) of an output, one after another.
class PieceWalk {
 public:
  PieceWalk(const LinearArgs& a, std::int64_t output, std::int64_t begin, std::int64_t end)
      : m_(a.weight),
        plane_rows_(m_.packed_rows()),
        left_(end - begin),
        piece_(left_ > 0 ? find_piece(a, output, begin, end) : Piece{}),
        plane_left_(plane_rows_ - 1 - piece_.row % plane_rows_) {}
  bool more() const { return left_ > 0; }
  const Piece& piece() const { return piece_; }
  void next() {
    left_ -= piece_.count;
    if (left_ <= 0) return;
    ++piece_.row;
    if (plane_left_-- > 0) {
      piece_.bytes += piece_.count;  // every piece but the last ends its row
    } else {
      piece_.bytes = m_.data;
      piece_.bit_offset += bit_width(m_.qtype);
      plane_left_ = plane_rows_ - 1;
    }
    piece_.count = m_.columns < left_ ? m_.columns : left_;
  }

 private:
  const Matrix& m_;
  std::int64_t plane_rows_, left_;
  Piece piece_;
  std::int64_t plane_left_;  // rows after this one in its plane
};

// The scale that is applied to whole sums of an output instead of to its weights.
inline float output_scale(const LinearArgs& a, std::int64_t output) {
  if (a.output_scale) return a.output_scale[output];
  if (is_affine(a.weight.qtype)) return 1.0f;
  float scale = 0.0f;
  with_type(a.weight.dtype,
            [&](auto tag) { scale = scale_value<decltype(tag)>(a.weight, output); });
  return scale;
}

template <typename T, typename Store>
inline void decode_piece(const Matrix& m, const Piece& p, Store&& out) {
  if (m.qtype == QType::int8) {
    for_each_vector(p.count, [&](std::int64_t i, int n) {
      out(i, n, to_floats(load_i8_part(p.bytes + i, n)));
    });
  } else if (is_float8(m.qtype)) {
    const Float8Format& f = float8_format(m.qtype);
    for_each_vector(p.count, [&](std::int64_t i, int n) {
      out(i, n, decode_float8(load_u8_part(p.bytes + i, n), f));
    });
  } else {
    const Floats scale = floats(scale_value<T>(m, p.row));
    const Floats shift = floats(shift_value<T>(m, p.row));
    const Ints mask = ints((1 << bit_width(m.qtype)) - 1);
    for_each_vector(p.count, [&](std::int64_t i, int n) {
      const Floats q = to_floats(shift_right(load_u8_part(p.bytes + i, n), p.bit_offset) & mask);
      out(i, n,
          round_to<T>(m.integer_shift ? scale * (q - shift) : round_to<T>(scale * q) - shift));
    });
  }
}

// Columns [begin, end) of an output: affine weights as they dequantize, 8-bit ones without their
// scale.
inline void decode_columns(const LinearArgs& a, std::int64_t output, std::int64_t begin,
                           std::int64_t end, float* out) {
  with_type(a.weight.dtype, [&](auto tag) {
    float* to = out;
    for (PieceWalk walk(a, output, begin, end); walk.more(); walk.next()) {
      decode_piece<decltype(tag)>(a.weight, walk.piece(), [&](std::int64_t i, int n, Floats v) {
        store_part(to + i, v, n);
      });
      to += walk.piece().count;
    }
  });
}

// y = RN(RN(sum) + bias), as torch's matmul and addition round, for outputs [output, output +
// count) of a token.
inline void write_outputs(const LinearArgs& a, std::int64_t token, std::int64_t output,
                          std::int64_t count, const float* sums) {
  with_type(a.x_dtype, [&](auto tag) {
    using T = decltype(tag);
    T* y = static_cast<T*>(a.y) + token * a.outputs + output;
    const T* bias = static_cast<const T*>(a.bias) + (a.bias ? output : 0);
    for_each_vector(count, [&](std::int64_t i, int n) {
      const Floats sum = load_part(sums + i, n);
      store_part(y + i, a.bias ? round_to<T>(sum) + load_part(bias + i, n) : sum, n);
    });
  });
}
inline void write_output(const LinearArgs& a, std::int64_t token, std::int64_t output, float sum) {
  write_outputs(a, token, output, 1, &sum);
}

inline void stage_floats(const LinearArgs& a, std::int64_t token, std::int64_t columns, float* to) {
  with_type(a.x_dtype, [&](auto tag) {
    const auto* from = static_cast<const decltype(tag)*>(a.x) + token * columns;
    for_each_vector(columns,
                    [&](std::int64_t i, int n) { store_part(to + i, load_part(from + i, n), n); });
  });
}

}  // namespace
}  // namespace quanthost::quanto
