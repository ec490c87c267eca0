// quanto on a GPU, the same bits as the CPU: a group of 32 lanes has a packed row, an output or a
// token; every step is rounded where optimum-quanto rounds it.
#include <quanthost/kernel.hpp>
#define QH_FORMATS_FUNCTION QH_HOST_DEVICE

#include "gpu/kernels.hpp"

namespace gpu = quanthost::gpu;

namespace quanthost::quanto::gpu_kernels {
namespace {

using cpu::from_float;
using cpu::to_float;

constexpr int kThreads = 128;
constexpr int kGroup = 32;

template <typename T>
QH_DEVICE float rounded(float v) {
  return to_float(from_float<T>(v));
}
QH_DEVICE std::int64_t group_index() {
  return static_cast<std::int64_t>(gpu::block_index().x) * (kThreads / kGroup) +
         gpu::thread_in_block() / kGroup;
}
QH_DEVICE int group_lane() { return gpu::thread_in_block() % kGroup; }

template <typename T>
QH_DEVICE float scale_of(const DeviceMatrix& m, std::int64_t row) {
  return to_float(static_cast<const T*>(m.scale)[m.per_tensor ? 0 : row]);
}
template <typename T>
QH_DEVICE float shift_of(const DeviceMatrix& m, std::int64_t row) {
  return m.integer_shift ? static_cast<float>(static_cast<const std::uint8_t*>(m.shift)[row])
                         : to_float(static_cast<const T*>(m.shift)[row]);
}

// NaN stays NaN, as torch's clamp keeps it.
QH_DEVICE float clamped(float v, float low, float high) {
  return v < low ? low : v > high ? high : v;
}

template <typename T>
QH_DEVICE unsigned symmetric_code(const DeviceMatrix& m, float w, float scale) {
  const float q = rounded<T>(w / scale);
  if (m.codes == Codes::float8)
    return cpu::float8_from_float(clamped(q, -m.largest, m.largest), m.float8);
  const float whole = clamped(rintf(q), -128.0f, 127.0f);
  return whole == whole ? static_cast<unsigned>(static_cast<int>(whole)) & 0xffu : 0u;
}
template <typename T>
QH_DEVICE unsigned affine_code(const DeviceMatrix& m, float w, float scale, float shift) {
  const float q = m.integer_shift ? rounded<T>(rintf(rounded<T>(w / scale)) + shift)
                                  : rintf(rounded<T>(rounded<T>(w + shift) / scale));
  const float whole = clamped(q, 0.0f, static_cast<float>((1 << m.bits) - 1));
  return whole == whole ? static_cast<unsigned>(whole) : 0u;
}

// Scale and shift of a row, found by its 32 lanes.
template <typename T>
QH_DEVICE void fit_row(const DeviceMatrix& m, const T* row, std::int64_t index) {
  // As integers the bits of |x| order like |x|, with NaN above infinity.
  unsigned top = 0;
  const float first = to_float(row[0]);
  float low = first, high = first;
  for (std::int64_t c = group_lane(); c < m.columns; c += kGroup) {
    const float w = to_float(row[c]);
    const unsigned magnitude = cpu::bits_of(w) & 0x7fffffffu;
    top = magnitude > top ? magnitude : top;
    low = w < low ? w : low;
    high = w > high ? w : high;
  }
  top = gpu::group_max<kGroup>(top);
  low = gpu::group_reduce<kGroup>(low, [](float a, float b) { return b < a ? b : a; });
  high = gpu::group_max<kGroup>(high);
  if (group_lane() != 0) return;
  if (m.codes != Codes::affine) {
    static_cast<T*>(m.scale)[index] = from_float<T>(cpu::float_of(top) / m.largest);
    return;
  }
  if (top > 0x7f800000u) low = high = cpu::float_of(0x7fc00000u);
  const float steps = static_cast<float>((1 << m.bits) - 1);
  const float scale = rounded<T>(rounded<T>(high - low) / steps);
  static_cast<T*>(m.scale)[index] = from_float<T>(scale);
  if (!m.integer_shift) {
    static_cast<T*>(m.shift)[index] = from_float<T>(-low);
    return;
  }
  const float zero = clamped(rintf(rounded<T>(-low / scale)), 0.0f, steps);
  static_cast<std::uint8_t*>(m.shift)[index] = zero == zero ? static_cast<std::uint8_t>(zero) : 0;
}

template <typename T>
QH_KERNEL void fit_rows(DeviceMatrix m, const T* base) {
  const std::int64_t row = group_index();
  if (row < m.rows) fit_row<T>(m, base + row * m.columns, row);
}

// One thread a byte.
template <typename T>
QH_KERNEL void store_codes(DeviceMatrix m, const T* base) {
  const std::int64_t at =
      static_cast<std::int64_t>(gpu::block_index().x) * kThreads + gpu::thread_in_block();
  if (at >= m.packed_rows * m.columns) return;
  const std::int64_t packed_row = at / m.columns, column = at % m.columns;
  unsigned byte = 0;
  for (int i = 0; i < m.per_byte; ++i) {
    const std::int64_t row = packed_row + i * m.packed_rows;
    if (row >= m.rows) break;
    const float w = to_float(base[row * m.columns + column]), scale = scale_of<T>(m, row);
    byte |= (m.codes == Codes::affine ? affine_code<T>(m, w, scale, shift_of<T>(m, row))
                                      : symmetric_code<T>(m, w, scale))
            << (i * m.bits);
  }
  m.data[at] = static_cast<std::uint8_t>(byte);
}

// The value at a row and column, as it dequantizes; `scaled` false leaves out the scale of 8 bits.
template <typename T>
QH_DEVICE float value_at(const DeviceMatrix& m, std::int64_t row, std::int64_t column,
                         bool scaled) {
  const std::int64_t plane = row / m.packed_rows;
  const std::uint8_t byte = m.data[(row - plane * m.packed_rows) * m.columns + column];
  if (m.codes == Codes::affine) {
    const float q = static_cast<float>((byte >> (plane * m.bits)) & ((1 << m.bits) - 1));
    const float scale = scale_of<T>(m, row), shift = shift_of<T>(m, row);
    return rounded<T>(m.integer_shift ? scale * (q - shift) : rounded<T>(scale * q) - shift);
  }
  const float code = m.codes == Codes::int8 ? static_cast<float>(static_cast<std::int8_t>(byte))
                                            : cpu::float_from_float8(byte, m.float8);
  return scaled ? rounded<T>(scale_of<T>(m, row) * code) : code;
}

template <typename T>
QH_KERNEL void fill_dense(DeviceMatrix m, T* out) {
  const std::int64_t at =
      static_cast<std::int64_t>(gpu::block_index().x) * kThreads + gpu::thread_in_block();
  if (at < m.rows * m.columns)
    out[at] = from_float<T>(value_at<T>(m, at / m.columns, at % m.columns, true));
}

template <typename T>
QH_KERNEL void find_absmax(const T* x, std::int64_t count, unsigned* out) {
  unsigned top = 0;
  const std::int64_t threads = static_cast<std::int64_t>(gpu::grid_size().x) * kThreads;
  for (std::int64_t i =
           static_cast<std::int64_t>(gpu::block_index().x) * kThreads + gpu::thread_in_block();
       i < count; i += threads) {
    const unsigned magnitude = cpu::bits_of(to_float(x[i])) & 0x7fffffffu;
    top = magnitude > top ? magnitude : top;
  }
  top = gpu::group_max<kGroup>(top);
  if (group_lane() == 0) gpu::atomic_max(out[0], top);
}

template <typename X>
QH_DEVICE void write_output(const DeviceLinear& a, std::int64_t token, std::int64_t output,
                            float sum) {
  X* y = static_cast<X*>(a.y) + token * a.outputs + output;
  *y = from_float<X>(sum);
  if (a.bias) *y = from_float<X>(to_float(*y) + to_float(static_cast<const X*>(a.bias)[output]));
}

// A group of lanes has an output and four tokens: each weight is decoded once for them.
constexpr int kTokens = 4;
template <typename T, typename X>
QH_KERNEL void multiply(DeviceLinear a) {
  const std::int64_t item = group_index(), output = item % a.outputs,
                     first = item / a.outputs * kTokens;
  if (first >= a.tokens) return;
  const DeviceMatrix& m = a.weight;
  float sums[kTokens] = {};
  for (std::int64_t k = group_lane(); k < a.inputs; k += kGroup) {
    const float w = value_at<T>(m, output * a.groups + k / m.columns, k % m.columns, false);
    for (int t = 0; t < kTokens; ++t)
      if (first + t < a.tokens)
        sums[t] =
            fmaf(w, to_float(static_cast<const X*>(a.x)[(first + t) * a.inputs + k]), sums[t]);
  }
  const float scale = m.codes == Codes::affine ? 1.0f : scale_of<T>(m, output);
  for (int t = 0; t < kTokens; ++t) {
    const float sum = gpu::group_sum<kGroup>(sums[t]);
    if (group_lane() == 0 && first + t < a.tokens)
      write_output<X>(a, first + t, output, sum * scale);
  }
}

template <typename T>
QH_KERNEL void multiply_int8(DeviceLinear a) {
  const std::int64_t item = group_index(), output = item % a.outputs, token = item / a.outputs;
  if (token >= a.tokens) return;
  const auto* x = static_cast<const std::int8_t*>(a.x) + token * a.inputs;
  const auto* w = reinterpret_cast<const std::int8_t*>(a.weight.data) + output * a.inputs;
  unsigned sum = 0;
  for (std::int64_t k = group_lane(); k < a.inputs; k += kGroup)
    sum += static_cast<unsigned>(static_cast<int>(x[k]) * static_cast<int>(w[k]));
  sum = gpu::group_sum<kGroup>(sum);
  const float scale = rounded<T>(a.x_scale * scale_of<T>(a.weight, output));
  if (group_lane() == 0)
    write_output<T>(a, token, output, static_cast<float>(static_cast<int>(sum)) * scale);
}

// One thread an element of the gradient.
template <typename T, typename X>
QH_KERNEL void multiply_backward(DeviceLinear a) {
  const std::int64_t at =
      static_cast<std::int64_t>(gpu::block_index().x) * kThreads + gpu::thread_in_block();
  if (at >= a.tokens * a.inputs) return;
  const DeviceMatrix& m = a.weight;
  const std::int64_t token = at / a.inputs, k = at % a.inputs;
  float sum = 0;
  for (std::int64_t o = 0; o < a.outputs; ++o) {
    const float scale = m.codes == Codes::affine ? 1.0f : scale_of<T>(m, o);
    sum = fmaf(to_float(static_cast<const X*>(a.x)[token * a.outputs + o]) * scale,
               value_at<T>(m, o * a.groups + k / m.columns, k % m.columns, false), sum);
  }
  static_cast<X*>(a.y)[at] = from_float<X>(sum);
}

gpu::LaunchShape blocks_of(std::int64_t items, std::int64_t items_of_a_block) {
  const std::int64_t blocks = (items + items_of_a_block - 1) / items_of_a_block;
  if (blocks > 0x7fffffff)
    throw gpu::Error("the tensor has more elements than one launch can take");
  return {{static_cast<unsigned>(blocks)}, {kThreads}};
}

template <typename Body>
void with_type(Element element, Body&& body) {
  if (element == Element::f32) return body(float{});
  if (element == Element::f16) return body(cpu::Float16{});
  body(cpu::BFloat16{});
}

}  // namespace

void quantize(void* stream, const DeviceMatrix& m, const void* base, bool given_scale) {
  with_type(m.element, [&](auto tag) {
    using T = decltype(tag);
    const T* from = static_cast<const T*>(base);
    if (!given_scale)
      gpu::launch({stream}, blocks_of(m.rows, kThreads / kGroup), fit_rows<T>, m, from);
    gpu::launch({stream}, blocks_of(m.packed_rows * m.columns, kThreads), store_codes<T>, m, from);
  });
}

void dequantize(void* stream, const DeviceMatrix& m, void* out) {
  with_type(m.element, [&](auto tag) {
    using T = decltype(tag);
    gpu::launch({stream}, blocks_of(m.rows * m.columns, kThreads), fill_dense<T>, m,
                static_cast<T*>(out));
  });
}

std::uint32_t absmax_bits(void* stream, Element element, const void* x, std::int64_t count,
                          void* scratch) {
  const gpu::Stream s{stream};
  gpu::fill_bytes(s, scratch, 0, 4);
  with_type(element, [&](auto tag) {
    using T = decltype(tag);
    const std::int64_t blocks = count / kThreads + 1 < 256 ? count / kThreads + 1 : 256;
    gpu::launch(s, {{static_cast<unsigned>(blocks)}, {kThreads}}, find_absmax<T>,
                static_cast<const T*>(x), count, static_cast<unsigned*>(scratch));
  });
  std::uint32_t bits = 0;
  gpu::copy_to_host(s, &bits, scratch, 4);
  gpu::synchronize(s);
  return bits;
}

void linear(void* stream, const DeviceLinear& a) {
  const std::int64_t items = (a.tokens + kTokens - 1) / kTokens * a.outputs;
  with_type(a.weight.element, [&](auto t) {
    with_type(a.element, [&](auto x) {
      gpu::launch({stream}, blocks_of(items, kThreads / kGroup), multiply<decltype(t), decltype(x)>,
                  a);
    });
  });
}

void linear_int8(void* stream, const DeviceLinear& a) {
  with_type(a.weight.element, [&](auto t) {
    gpu::launch({stream}, blocks_of(a.tokens * a.outputs, kThreads / kGroup),
                multiply_int8<decltype(t)>, a);
  });
}

void backward_input(void* stream, const DeviceLinear& a) {
  with_type(a.weight.element, [&](auto t) {
    with_type(a.element, [&](auto x) {
      gpu::launch({stream}, blocks_of(a.tokens * a.inputs, kThreads),
                  multiply_backward<decltype(t), decltype(x)>, a);
    });
  });
}

void probe() {
  const std::string cause = gpu::why_unavailable();
  if (!cause.empty()) throw gpu::Error(cause);
}

}  // namespace quanthost::quanto::gpu_kernels
