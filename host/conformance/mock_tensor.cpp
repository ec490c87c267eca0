#include "host/conformance/mock_tensor.hpp"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "host/base/error.hpp"
#include "quanthost/plugin/tensor.hpp"

namespace quanthost::conformance {
namespace {

std::atomic<std::int64_t> g_live{0};

struct Handle {
  qh_managed_tensor tensor{};
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
  std::shared_ptr<void> memory;
};

qh_managed_tensor* make_handle(std::shared_ptr<void> memory, qh_dtype dtype,
                               const std::vector<std::int64_t>& shape) {
  auto* handle = new Handle;
  handle->shape = shape;
  handle->strides = qh::contiguous_strides(shape);
  handle->memory = std::move(memory);
  handle->tensor.version_major = 1;
  handle->tensor.manager_ctx = handle;
  handle->tensor.deleter = [](qh_managed_tensor* self) {
    --g_live;
    delete static_cast<Handle*>(self->manager_ctx);
  };
  handle->tensor.tensor = {handle->memory.get(),
                           {QH_DEVICE_CPU, 0},
                           static_cast<std::int32_t>(shape.size()),
                           dtype,
                           handle->shape.data(),
                           handle->strides.data(),
                           0};
  ++g_live;
  return &handle->tensor;
}

float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = (h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 1023u;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent == 0) {
    const float value = std::ldexp(static_cast<float>(mantissa), -24);
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

std::uint16_t float_to_half(float f) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(f);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const float a = std::fabs(f);
  if (std::isnan(f)) return sign | 0x7e00u;
  if (a >= 65520.0f) return sign | 0x7c00u;
  if (a < std::ldexp(1.0f, -14))
    return sign | static_cast<std::uint16_t>(std::nearbyint(std::ldexp(a, 24)));
  const std::uint32_t rounded = (bits & 0x7fffffffu) + 0xfffu + ((bits >> 13) & 1u);
  return sign | static_cast<std::uint16_t>((rounded - (112u << 23)) >> 13);
}

std::uint16_t float_to_bfloat(float f) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(f);
  if (std::isnan(f)) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

template <typename T>
T load(const void* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <typename T>
void store(void* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

double load_element(const qh_dtype d, const void* at) {
  if (d == qh::kFloat32) return load<float>(at);
  if (d == qh::kFloat64) return load<double>(at);
  if (d == qh::kFloat16) return half_to_float(load<std::uint16_t>(at));
  if (d == qh::kBfloat16) return std::bit_cast<float>(std::uint32_t{load<std::uint16_t>(at)} << 16);
  if (d == qh::kInt8) return load<std::int8_t>(at);
  if (d == qh::kUint8 || d == qh::kBool) return load<std::uint8_t>(at);
  if (d == qh::kInt16) return load<std::int16_t>(at);
  if (d == qh::kInt32) return load<std::int32_t>(at);
  if (d == qh::kInt64) return static_cast<double>(load<std::int64_t>(at));
  fail(ErrorKind::kType, "the conformance host does not convert {}", qh::name_of(d));
}

void store_element(const qh_dtype d, void* at, double v) {
  if (d == qh::kFloat32) return store(at, static_cast<float>(v));
  if (d == qh::kFloat64) return store(at, v);
  if (d == qh::kFloat16) return store(at, float_to_half(static_cast<float>(v)));
  if (d == qh::kBfloat16) return store(at, float_to_bfloat(static_cast<float>(v)));
  if (d == qh::kInt8) return store(at, static_cast<std::int8_t>(v));
  if (d == qh::kUint8 || d == qh::kBool) return store(at, static_cast<std::uint8_t>(v));
  if (d == qh::kInt16) return store(at, static_cast<std::int16_t>(v));
  if (d == qh::kInt32) return store(at, static_cast<std::int32_t>(v));
  if (d == qh::kInt64) return store(at, static_cast<std::int64_t>(v));
  fail(ErrorKind::kType, "the conformance host does not convert {}", qh::name_of(d));
}

char* address(const qh_tensor& t, std::int64_t index) {
  std::int64_t offset = index;
  if (t.strides) {
    offset = 0;
    for (std::int32_t dim = t.ndim; dim-- > 0;) {
      offset += index % t.shape[dim] * t.strides[dim];
      index /= t.shape[dim];
    }
  }
  return static_cast<char*>(data_of(t)) + offset * t.dtype.bits / 8;
}

}  // namespace

qh_managed_tensor* make_tensor(qh_dtype dtype, const std::vector<std::int64_t>& shape) {
  std::uint64_t elements = 1;
  for (std::int64_t size : shape) {
    if (size < 0 ||
        (size > 0 && elements > (std::uint64_t{1} << 40) / static_cast<std::uint64_t>(size)))
      fail(ErrorKind::kValue, "a tensor of an impossible shape was asked for");
    elements *= static_cast<std::uint64_t>(size);
  }
  const std::size_t bytes = (elements * dtype.bits + 7) / 8;
  void* memory = std::aligned_alloc(64, (bytes + 127) / 64 * 64);
  if (!memory) throw std::bad_alloc();
  std::memset(memory, 0xcd, bytes);
  return make_handle(std::shared_ptr<void>(memory, std::free), dtype, shape);
}

qh_managed_tensor* share_tensor(qh_managed_tensor* tensor, qh_dtype dtype,
                                const std::vector<std::int64_t>& shape) {
  const auto* handle = static_cast<const Handle*>(tensor->manager_ctx);
  qh_managed_tensor* shared = make_handle(handle->memory, dtype, shape);
  if (byte_count(shared->tensor) == byte_count(tensor->tensor)) return shared;
  shared->deleter(shared);
  fail(ErrorKind::kValue, "a shared view has to have the size in bytes of its tensor");
}

std::int64_t live_tensors() { return g_live; }

std::vector<std::int64_t> shape_of(const qh_tensor& t) { return {t.shape, t.shape + t.ndim}; }

std::int64_t element_count(const qh_tensor& t) {
  std::int64_t count = 1;
  for (std::int32_t i = 0; i < t.ndim; ++i) count *= t.shape[i];
  return count;
}

std::uint64_t byte_count(const qh_tensor& t) {
  return (static_cast<std::uint64_t>(element_count(t)) * t.dtype.bits + 7) / 8;
}

void* data_of(const qh_tensor& t) { return static_cast<char*>(t.data) + t.byte_offset; }

std::string describe(const qh_tensor& t) {
  std::string text(qh::name_of(t.dtype));
  text += " [";
  for (std::int32_t i = 0; i < t.ndim; ++i) text += (i ? ", " : "") + std::to_string(t.shape[i]);
  return text + "]";
}

double read_element(const qh_tensor& t, std::int64_t index) {
  return load_element(t.dtype, address(t, index));
}

void write_element(const qh_tensor& t, std::int64_t index, double value) {
  store_element(t.dtype, address(t, index), value);
}

void copy_elements(const qh_tensor& from, const qh_tensor& to) {
  if (shape_of(from) != shape_of(to))
    fail(ErrorKind::kValue, "copy between different shapes: {} to {}", describe(from),
         describe(to));
  for (std::int64_t i = 0, n = element_count(from); i < n; ++i) {
    if (from.dtype == to.dtype)
      std::memcpy(address(to, i), address(from, i), from.dtype.bits / 8);
    else
      write_element(to, i, read_element(from, i));
  }
}

}  // namespace quanthost::conformance
