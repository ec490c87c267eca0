// A quantized weight of a module, with optimum-quanto's names for its parts.
#pragma once

#include <quanthost/plugin/module.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "format.hpp"
#include "quantizer/kernel_packages.hpp"

namespace quanthost::quanto {

std::string shape_text(const std::vector<std::int64_t>& shape);

// optimum-quanto's WeightQBytesTensor (8 bits) and WeightQBitsTensor (2 and 4): a weight of two or
// more dimensions, quantized along the first. To the kernels it is a matrix [rows, columns].
class QWeight {
 public:
  QWeight(QType qtype, std::vector<std::int64_t> shape);

  QType qtype() const { return qtype_; }
  const std::vector<std::int64_t>& shape() const { return shape_; }
  bool complete() const;
  qh::Dtype dtype() const;  // of the dense weight; kNoDtype before there is a scale
  std::uint64_t data_bytes() const;
  std::uint64_t overhead_bytes() const;

  // Quantizes rows [row_begin, …) of the dense weight; the first call makes room for all.
  void quantize(const qh::Exec&, const KernelPackage&, std::int32_t optimizer, qh::TensorView dense,
                std::int64_t row_begin);
  qh::Tensor dequantize(const qh::Exec&, const KernelPackage&) const;
  // float32 on the CPU: as if every scale were `factor` times as large.
  qh::Tensor dequantize(const qh::Exec&, const KernelPackage&, float factor) const;

  // Parts by their key below "weight.": "_data" or "_data._data", "_scale", "_shift".
  std::vector<qh::ParamInfo> parts(qh::Dtype dense) const;
  bool has_part(std::string_view name) const;
  void set_part(const qh::Exec&, const KernelPackage&, std::string_view name, qh::Tensor value);
  void emit_parts(const qh::Exec&, const qh::TensorEmitter& emit) const;
  void to_device(const qh::Exec&);

  // For the package's functions; valid as long as this object.
  qh_quanto_weight abi() const;

 private:
  qh_quanto_weight description() const;
  std::vector<std::int64_t> data_shape() const;
  std::vector<std::int64_t> scale_shape() const;
  std::string_view data_key() const { return is_affine(qtype_) ? "_data._data" : "_data"; }

  QType qtype_;
  std::vector<std::int64_t> shape_;
  std::int64_t rows_, columns_, group_size_;
  std::int64_t rows_quantized_ = 0;
  qh::Tensor data_, scale_, shift_;
};

}  // namespace quanthost::quanto
