// The stored form of a Linear4bit layer: taking a checkpoint's tensors in, and giving them out
// again byte for byte.
#include <cstring>

#include "plugins/bnb4/quantizer/host_tensor.hpp"
#include "plugins/bnb4/quantizer/linear4bit.hpp"

namespace quanthost::bnb4 {
namespace {

constexpr std::string_view kStatePrefix = "weight.quant_state.bitsandbytes__";

void expect(bool holds, std::string_view name, const std::string& needed, const qh::Tensor& found) {
  if (holds) return;
  std::string shape;
  for (const int64_t size : found.view().shape())
    shape += (shape.empty() ? "" : ", ") + std::to_string(size);
  throw qh::Error(QH_ERR_VALUE,
                  "the stored tensor '" + std::string(name) + "' has to be " + needed +
                      ", and is " + std::string(qh::name_of(found.view().dtype())) + " [" + shape +
                      "]",
                  "the checkpoint is damaged, or was not written by bitsandbytes");
}

}  // namespace

void Linear4bit::set_param(const qh::Exec& exec, std::string_view name, qh::Tensor value) {
  if (name == "bias" && shape_.has_bias) {
    expect(value.view().shape() == std::vector<int64_t>{shape_.out_features}, name,
           std::to_string(shape_.out_features) + " values", value);
    const qh::Dtype dtype = value.view().dtype();
    bias_ = on_device(exec, exec.converted(std::move(value), dtype));
    return;
  }
  set_stored(exec, name, std::move(value));
  check_complete();
}

void Linear4bit::set_stored(const qh::Exec& exec, std::string_view name, qh::Tensor value) {
  if (name.substr(0, kStatePrefix.size()) == kStatePrefix) {
    expect(value.view().dtype() == qh::kUint8, name, "uint8", value);
    state_ = quant_state_from_json(host_bytes(exec, value), name);
    if (state_->nested_offset) {
      const auto offset = static_cast<float>(*state_->nested_offset);
      offset_ = device_tensor(exec, qh::kFloat32, {1}, &offset);
    }
    return;
  }
  value = on_device(exec, std::move(value));
  if (name == "weight") {
    const auto bytes =
        static_cast<uint64_t>(packed_bytes(shape_.out_features * shape_.in_features));
    const bool column = value.view().ndim() == 2 && value.view().size(1) == 1;
    expect(column && value.view().bytes() == bytes, name,
           "one column of " + std::to_string(bytes) + " packed bytes", value);
    packed_ = std::move(value);
  } else if (name == "weight.absmax") {
    adopt_absmax(exec, std::move(value));
  } else if (name == "weight.quant_map") {
    expect(value.view().dtype() == qh::kFloat32 && value.view().elements() == 16, name,
           "16 float32 values", value);
    quant_map_ = std::move(value);
  } else if (name == "weight.nested_absmax") {
    expect(value.view().dtype() == qh::kFloat32, name, "float32", value);
    nested_absmax_ = std::move(value);
  } else if (name == "weight.nested_quant_map") {
    expect(value.view().dtype() == qh::kFloat32 && value.view().elements() == 256, name,
           "256 float32 values", value);
    nested_map_ = std::move(value);
  } else {
    throw no_param(name);
  }
}

// bitsandbytes' CPU path leaves the scales as bfloat16 [columns / blocksize, rows] once a model has
// computed; such a file is turned back, though what it lost stays lost.
void Linear4bit::adopt_absmax(const qh::Exec& exec, qh::Tensor value) {
  const qh::TensorView view = value.view();
  if (view.ndim() == 2 && view.dtype() == qh::kBfloat16) {
    std::vector<int64_t> shape = {view.size(1), view.size(0)};
    std::vector<int64_t> strides = {1, view.size(1)};
    qh_tensor turned = *view.abi();
    turned.shape = shape.data();
    turned.strides = strides.data();
    qh::Tensor wide = exec.allocate(qh::kFloat32, shape);
    exec.copy(&turned, wide.abi());
    absmax_ = exec.share(wide, qh::kFloat32, {shape[0] * shape[1]});
    return;
  }
  expect(view.ndim() == 1 && (view.dtype() == qh::kFloat32 || view.dtype() == qh::kUint8),
         "weight.absmax", "float32 or uint8, of one dimension", value);
  absmax_ = std::move(value);
}

// Once everything is there, its sizes have to agree.
void Linear4bit::check_complete() const {
  if (!complete()) return;
  const int64_t count = state_->rows * state_->columns;
  const int64_t blocks = block_count(count, state_->blocksize);
  if (state_->rows != shape_.out_features || state_->columns != shape_.in_features) {
    throw qh::Error(QH_ERR_VALUE, "the stored weight is " + std::to_string(state_->rows) + " x " +
                                      std::to_string(state_->columns) + ", and the layer needs " +
                                      std::to_string(shape_.out_features) + " x " +
                                      std::to_string(shape_.in_features));
  }
  expect(packed_.view().bytes() == static_cast<uint64_t>(packed_bytes(count)), "weight",
         std::to_string(packed_bytes(count)) + " bytes", packed_);
  const bool nested = state_->nested_offset.has_value();
  expect(absmax_.view().elements() == blocks &&
             absmax_.view().dtype() == (nested ? qh::kUint8 : qh::kFloat32),
         "weight.absmax", std::to_string(blocks) + (nested ? " uint8" : " float32") + " values",
         absmax_);
  if (!nested) return;
  const int64_t nested_blocks = block_count(blocks, state_->nested_blocksize);
  expect(nested_absmax_.view().elements() == nested_blocks, "weight.nested_absmax",
         std::to_string(nested_blocks) + " values", nested_absmax_);
}

QuantState Linear4bit::state_with_offset(const qh::Exec& exec) const {
  QuantState state = *state_;
  if (state.nested_offset) {
    float offset = 0;
    std::memcpy(&offset, host_bytes(exec, offset_).data(), sizeof(offset));
    // A stored offset is kept as it was written, unless it is not the one in use.
    if (static_cast<float>(*state.nested_offset) != offset) state.nested_offset = offset;
  }
  return state;
}

void Linear4bit::state_dict(const qh::Exec& exec, const qh::TensorEmitter& emit) {
  expect_loaded();
  emit("weight", exec.share(packed_));
  if (bias_) emit("bias", exec.share(bias_));
  emit("weight.absmax", exec.share(absmax_));
  emit("weight.quant_map",
       quant_map_ ? exec.share(quant_map_)
                  : device_tensor(exec, qh::kFloat32, {16}, code_table(state_->quant_type)));
  if (state_->nested_offset) {
    emit("weight.nested_absmax", exec.share(nested_absmax_));
    emit("weight.nested_quant_map", exec.share(nested_map_));
  }
  const std::string json = to_json(state_with_offset(exec));
  emit(std::string(kStatePrefix) + std::string(name_of(state_->quant_type)),
       device_tensor(exec, qh::kUint8, {static_cast<int64_t>(json.size())}, json.data()));
}

qh::Tensor Linear4bit::get_param(const qh::Exec& exec, std::string_view name) {
  qh::Tensor found;
  state_dict(exec, [&](std::string_view key, qh::Tensor tensor) {
    if (key == name) found = std::move(tensor);
  });
  if (!found) throw no_param(name);
  return found;
}

std::vector<qh::ParamInfo> Linear4bit::parameters() const {
  std::vector<qh::ParamInfo> out;
  const auto add = [&out](const char* name, const qh::Tensor& tensor, bool is_buffer) {
    if (!tensor) return;
    const qh::TensorView view = tensor.view();
    out.push_back({name, view.dtype(), view.shape(), view.dtype().bits / 8.0, is_buffer});
  };
  if (packed_) {
    add("weight", packed_, false);
  } else {
    out.push_back({"weight", qh::kInt4, {shape_.out_features, shape_.in_features}, 0.5});
  }
  if (bias_) {
    add("bias", bias_, false);
  } else if (shape_.has_bias) {
    out.push_back({"bias", qh::kFloat32, {shape_.out_features}, 4.0});
  }
  add("weight.absmax", absmax_, true);
  add("weight.quant_map", quant_map_, true);
  add("weight.nested_absmax", nested_absmax_, true);
  add("weight.nested_quant_map", nested_map_, true);
  return out;
}

void Linear4bit::to_device(const qh::Exec& exec) {
  for (qh::Tensor* tensor :
       {&packed_, &absmax_, &quant_map_, &nested_absmax_, &nested_map_, &offset_, &bias_}) {
    if (*tensor) *tensor = on_device(exec, std::move(*tensor));
  }
}

// Of a layer that was not filled yet: codes, scales (with their own scales, map and offset when
// they are quantized), the code table, and a bias.
qh::ModuleMemory Linear4bit::expected_memory() const {
  const QuantState defaults;
  const int64_t count = shape_.out_features * shape_.in_features;
  const int64_t blocks = block_count(count, defaults.blocksize);
  const int64_t scales =
      options_.double_quant
          ? blocks + 4 * block_count(blocks, defaults.nested_blocksize) + 4 * 256 + 4
          : 4 * blocks;
  const int64_t bias = shape_.has_bias ? 4 * shape_.out_features : 0;
  qh::ModuleMemory memory;
  memory.weight_bytes = static_cast<uint64_t>(packed_bytes(count));
  memory.overhead_bytes = static_cast<uint64_t>(scales + 4 * 16 + bias);
  return memory;
}

qh::ModuleMemory Linear4bit::memory_bytes() const {
  if (!packed_) return expected_memory();
  qh::ModuleMemory memory;
  if (packed_) memory.weight_bytes = packed_.view().bytes();
  for (const qh::Tensor* tensor :
       {&absmax_, &quant_map_, &nested_absmax_, &nested_map_, &offset_, &bias_}) {
    if (*tensor) memory.overhead_bytes += tensor->view().bytes();
  }
  return memory;
}

}  // namespace quanthost::bnb4
