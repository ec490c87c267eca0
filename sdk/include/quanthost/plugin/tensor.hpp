// Tensors in C++: a borrowed view and an owner, with element types by name.
#pragma once

#include <quanthost/abi/tensor.h>

#include <cstdint>
#include <quanthost/plugin/error.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// In the global namespace, where qh_dtype lives, so that they are found from everywhere.
constexpr bool operator==(qh_dtype a, qh_dtype b) {
  return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes;
}
constexpr bool operator!=(qh_dtype a, qh_dtype b) { return !(a == b); }

namespace qh {

using Dtype = qh_dtype;

inline constexpr Dtype kNoDtype{0, 0, 0};
inline constexpr Dtype kFloat32{QH_DTYPE_FLOAT, 32, 1};
inline constexpr Dtype kFloat64{QH_DTYPE_FLOAT, 64, 1};
inline constexpr Dtype kFloat16{QH_DTYPE_FLOAT, 16, 1};
inline constexpr Dtype kBfloat16{QH_DTYPE_BFLOAT, 16, 1};
inline constexpr Dtype kInt8{QH_DTYPE_INT, 8, 1};
inline constexpr Dtype kUint8{QH_DTYPE_UINT, 8, 1};
inline constexpr Dtype kInt16{QH_DTYPE_INT, 16, 1};
inline constexpr Dtype kInt32{QH_DTYPE_INT, 32, 1};
inline constexpr Dtype kInt64{QH_DTYPE_INT, 64, 1};
inline constexpr Dtype kInt4{QH_DTYPE_INT, 4, 1};
inline constexpr Dtype kInt2{QH_DTYPE_INT, 2, 1};
inline constexpr Dtype kBool{QH_DTYPE_BOOL, 8, 1};
inline constexpr Dtype kFloat8E4m3fn{QH_DTYPE_FLOAT8_E4M3FN, 8, 1};
inline constexpr Dtype kFloat8E4m3fnuz{QH_DTYPE_FLOAT8_E4M3FNUZ, 8, 1};
inline constexpr Dtype kFloat8E5m2{QH_DTYPE_FLOAT8_E5M2, 8, 1};

struct NamedDtype {
  std::string_view name;  // as torch spells it
  Dtype dtype;
};
inline constexpr NamedDtype kNamedDtypes[] = {
    {"float32", kFloat32},
    {"float64", kFloat64},
    {"float16", kFloat16},
    {"bfloat16", kBfloat16},
    {"int8", kInt8},
    {"uint8", kUint8},
    {"int16", kInt16},
    {"int32", kInt32},
    {"int64", kInt64},
    {"int4", kInt4},
    {"int2", kInt2},
    {"bool", kBool},
    {"float8_e4m3fn", kFloat8E4m3fn},
    {"float8_e4m3fnuz", kFloat8E4m3fnuz},
    {"float8_e5m2", kFloat8E5m2},
};

inline std::string_view name_of(Dtype dtype) {
  for (const NamedDtype& known : kNamedDtypes)
    if (known.dtype == dtype) return known.name;
  return dtype == kNoDtype ? "none" : "an unknown element type";
}

inline Dtype dtype_from_name(std::string_view name) {
  for (const NamedDtype& known : kNamedDtypes)
    if (known.name == name) return known.dtype;
  throw Error(QH_ERR_VALUE, "no element type is called '" + std::string(name) + "'",
              "names are torch's without \"torch.\": float32, float16, bfloat16, uint8, …");
}

inline bool is_floating(Dtype d) {
  return d.code == QH_DTYPE_FLOAT || d.code == QH_DTYPE_BFLOAT || d.code >= QH_DTYPE_FLOAT8_E4M3FN;
}

inline std::vector<std::int64_t> contiguous_strides(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

// A borrowed tensor: valid as long as what it was made from.
class TensorView {
 public:
  explicit TensorView(const qh_tensor& tensor) : tensor_(&tensor) {}

  Dtype dtype() const { return tensor_->dtype; }
  std::int32_t ndim() const { return tensor_->ndim; }
  std::int64_t size(std::int32_t dim) const {
    return tensor_->shape[dim < 0 ? dim + tensor_->ndim : dim];
  }
  std::vector<std::int64_t> shape() const {
    return {tensor_->shape, tensor_->shape + tensor_->ndim};
  }
  std::int64_t elements() const {
    std::int64_t n = 1;
    for (std::int32_t i = 0; i < tensor_->ndim; ++i) n *= tensor_->shape[i];
    return n;
  }
  std::uint64_t bytes() const {
    return (static_cast<std::uint64_t>(elements()) * dtype().bits + 7) / 8;
  }
  bool is_contiguous() const {
    if (!tensor_->strides) return true;
    std::int64_t expected = 1;
    for (std::int32_t i = tensor_->ndim; i-- > 0;) {
      if (tensor_->shape[i] != 1 && tensor_->strides[i] != expected) return false;
      expected *= tensor_->shape[i];
    }
    return true;
  }
  template <typename T>
  T* data() const {
    return reinterpret_cast<T*>(static_cast<char*>(tensor_->data) + tensor_->byte_offset);
  }
  const qh_tensor* abi() const { return tensor_; }

 private:
  const qh_tensor* tensor_;
};

// An owned tensor; moves, never copies.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(qh_managed_tensor* owned) : tensor_(owned) {}
  Tensor(Tensor&& other) noexcept : tensor_(other.release()) {}
  Tensor& operator=(Tensor&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;
  ~Tensor() { reset(nullptr); }

  explicit operator bool() const { return tensor_ != nullptr; }
  TensorView view() const { return TensorView(tensor_->tensor); }
  template <typename T>
  T* data() const {
    return view().data<T>();
  }
  const qh_tensor* abi() const { return &tensor_->tensor; }
  qh_managed_tensor* get() const { return tensor_; }
  // Gives the tensor away: whoever takes it calls its deleter.
  qh_managed_tensor* release() { return std::exchange(tensor_, nullptr); }
  void reset(qh_managed_tensor* owned) {
    qh_managed_tensor* old = std::exchange(tensor_, owned);
    if (old && old->deleter) old->deleter(old);
  }

 private:
  qh_managed_tensor* tensor_ = nullptr;
};

}  // namespace qh
