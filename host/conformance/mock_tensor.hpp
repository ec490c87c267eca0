// Tensors on plain memory for the conformance suite: counted, so that a leak is seen, and poisoned,
// so that reading memory that nobody wrote shows.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "quanthost/abi/tensor.h"

namespace quanthost::conformance {

// Contiguous, filled with a poison pattern. Freed by its deleter.
qh_managed_tensor* make_tensor(qh_dtype dtype, const std::vector<std::int64_t>& shape);
// Another handle on the memory of a tensor made here or elsewhere; keeps it alive when it was made
// here.
qh_managed_tensor* share_tensor(qh_managed_tensor* tensor, qh_dtype dtype,
                                const std::vector<std::int64_t>& shape);

std::int64_t live_tensors();  // handles that nobody has deleted yet

std::vector<std::int64_t> shape_of(const qh_tensor& tensor);
std::int64_t element_count(const qh_tensor& tensor);
std::uint64_t byte_count(const qh_tensor& tensor);
void* data_of(const qh_tensor& tensor);
std::string describe(const qh_tensor& tensor);  // "bfloat16 [96, 128]"

// One element as double and back, for every type of the ABI except complex and sub-byte ones;
// throws kType for those.
double read_element(const qh_tensor& tensor, std::int64_t index);
void write_element(const qh_tensor& tensor, std::int64_t index, double value);

// Converts element by element, following strides of both.
void copy_elements(const qh_tensor& from, const qh_tensor& to);

// Owner for the suite's own code.
class Owned {
 public:
  Owned() = default;
  explicit Owned(qh_managed_tensor* tensor) : tensor_(tensor) {}
  Owned(Owned&& other) noexcept : tensor_(other.release()) {}
  Owned& operator=(Owned&& other) noexcept {
    reset(other.release());
    return *this;
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { reset(nullptr); }
  void reset(qh_managed_tensor* tensor) {
    if (tensor_ && tensor_->deleter) tensor_->deleter(tensor_);
    tensor_ = tensor;
  }
  qh_managed_tensor* release() {
    qh_managed_tensor* tensor = tensor_;
    tensor_ = nullptr;
    return tensor;
  }
  explicit operator bool() const { return tensor_ != nullptr; }
  const qh_tensor& view() const { return tensor_->tensor; }
  qh_managed_tensor* get() const { return tensor_; }

 private:
  qh_managed_tensor* tensor_ = nullptr;
};

}  // namespace quanthost::conformance
