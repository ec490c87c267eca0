#include "host/load/tensor_bridge.hpp"

#include <ATen/ops/from_blob.h>

#include <array>

#include "host/load/abi_strings.hpp"

namespace quanthost {
namespace {

struct Row {
  qh_dtype abi;
  at::ScalarType torch;
  Dtype stored;
  std::string_view name;
};

constexpr std::array<Row, 16> kRows{{
    {{QH_DTYPE_FLOAT, 32, 1}, at::kFloat, Dtype::kF32, "float32"},
    {{QH_DTYPE_FLOAT, 16, 1}, at::kHalf, Dtype::kF16, "float16"},
    {{QH_DTYPE_BFLOAT, 16, 1}, at::kBFloat16, Dtype::kBF16, "bfloat16"},
    {{QH_DTYPE_FLOAT, 64, 1}, at::kDouble, Dtype::kF64, "float64"},
    {{QH_DTYPE_INT, 8, 1}, at::kChar, Dtype::kI8, "int8"},
    {{QH_DTYPE_UINT, 8, 1}, at::kByte, Dtype::kU8, "uint8"},
    {{QH_DTYPE_INT, 16, 1}, at::kShort, Dtype::kI16, "int16"},
    {{QH_DTYPE_UINT, 16, 1}, at::kUInt16, Dtype::kU16, "uint16"},
    {{QH_DTYPE_INT, 32, 1}, at::kInt, Dtype::kI32, "int32"},
    {{QH_DTYPE_UINT, 32, 1}, at::kUInt32, Dtype::kU32, "uint32"},
    {{QH_DTYPE_INT, 64, 1}, at::kLong, Dtype::kI64, "int64"},
    {{QH_DTYPE_UINT, 64, 1}, at::kUInt64, Dtype::kU64, "uint64"},
    {{QH_DTYPE_BOOL, 8, 1}, at::kBool, Dtype::kBool, "bool"},
    {{QH_DTYPE_FLOAT8_E4M3FN, 8, 1}, at::kFloat8_e4m3fn, Dtype::kF8E4M3, "float8_e4m3fn"},
    {{QH_DTYPE_FLOAT8_E4M3FNUZ, 8, 1}, at::kFloat8_e4m3fnuz, Dtype::kF8E4M3Fnuz, "float8_e4m3fnuz"},
    {{QH_DTYPE_FLOAT8_E5M2, 8, 1}, at::kFloat8_e5m2, Dtype::kF8E5M2, "float8_e5m2"},
}};

// What stands behind a managed tensor that this side made.
struct Exported {
  qh_managed_tensor managed{};
  at::Tensor tensor;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
};

void delete_exported(qh_managed_tensor* self) { delete static_cast<Exported*>(self->manager_ctx); }

qh_device to_qh_device(at::Device device) {
  if (device.is_cpu()) return {QH_DEVICE_CPU, 0};
  if (device.is_cuda()) return {QH_DEVICE_CUDA, device.index() < 0 ? 0 : device.index()};
  fail(ErrorKind::kRuntime, "tensors on device {} cannot be given to a plugin", device.str());
}

at::Device to_at_device(qh_device device) {
  switch (device.type) {
    case QH_DEVICE_CPU:
    case QH_DEVICE_CUDA_HOST:
    case QH_DEVICE_HIP_HOST:
      return at::kCPU;
    case QH_DEVICE_CUDA:
      return {at::kCUDA, static_cast<at::DeviceIndex>(device.id)};
    default:
      fail(ErrorKind::kRuntime, "a plugin gave a tensor on a device of unknown type {}",
           device.type);
  }
}

void check_dimensions(const qh_tensor& view) {
  if (view.ndim < 0 || view.ndim > 64 || (view.ndim > 0 && !view.shape)) {
    fail(ErrorKind::kValue, "a plugin gave a tensor with {} dimensions and no usable shape",
         view.ndim);
  }
  for (std::int32_t i = 0; i < view.ndim; ++i) {
    if (view.shape[i] < 0)
      fail(ErrorKind::kValue, "a plugin gave a tensor with a negative dimension");
  }
}

template <typename Deleter>
at::Tensor from_memory(const qh_tensor& view, Deleter deleter) {
  check_dimensions(view);
  const auto rank = static_cast<std::size_t>(view.ndim);
  void* data = static_cast<char*>(view.data) + view.byte_offset;
  const auto options =
      at::TensorOptions().dtype(to_scalar_type(view.dtype)).device(to_at_device(view.device));
  const at::IntArrayRef sizes(view.shape, rank);
  if (!view.strides) return at::from_blob(data, sizes, std::move(deleter), options);
  return at::from_blob(data, sizes, at::IntArrayRef(view.strides, rank), std::move(deleter),
                       options);
}

}  // namespace

qh_dtype to_qh_dtype(at::ScalarType type) {
  for (const Row& row : kRows) {
    if (row.torch == type) return row.abi;
  }
  fail(ErrorKind::kType, "element type {} cannot be given to a plugin", c10::toString(type));
}

at::ScalarType to_scalar_type(qh_dtype dtype) {
  for (const Row& row : kRows) {
    if (row.abi == dtype) return row.torch;
  }
  fail(ErrorKind::kType, "element type {} has no tensors in LibTorch", name_of(dtype));
}

at::ScalarType to_scalar_type(Dtype dtype) {
  for (const Row& row : kRows) {
    if (row.stored == dtype) return row.torch;
  }
  fail(ErrorKind::kType, "element type {} has no tensors in LibTorch", safetensors_name(dtype));
}

Dtype to_dtype(at::ScalarType type) {
  for (const Row& row : kRows) {
    if (row.torch == type) return row.stored;
  }
  fail(ErrorKind::kType, "element type {} cannot be stored", c10::toString(type));
}

std::string name_of(qh_dtype dtype) {
  if (is_none(dtype)) return "none";
  for (const Row& row : kRows) {
    if (row.abi == dtype) return std::string(row.name);
  }
  if (dtype.code == QH_DTYPE_INT && dtype.lanes == 1) return fmt::format("int{}", dtype.bits);
  if (dtype.code == QH_DTYPE_UINT && dtype.lanes == 1) return fmt::format("uint{}", dtype.bits);
  return fmt::format("type {}:{}x{}", dtype.code, dtype.bits, dtype.lanes);
}

qh_dtype qh_dtype_named(std::string_view torch_name) {
  std::string_view name = torch_name;
  if (name.starts_with("torch.")) name.remove_prefix(6);
  for (const Row& row : kRows) {
    if (row.name == name) return row.abi;
  }
  throw Error(ErrorKind::kValue, fmt::format("there is no element type \"{}\"", torch_name),
              "write float32, float16, bfloat16 or auto");
}

qh_tensor view_of(const at::Tensor& tensor) {
  return {tensor.data_ptr(),
          to_qh_device(tensor.device()),
          static_cast<std::int32_t>(tensor.dim()),
          to_qh_dtype(tensor.scalar_type()),
          const_cast<std::int64_t*>(tensor.sizes().data()),
          const_cast<std::int64_t*>(tensor.strides().data()),
          0};
}

at::Tensor alias(const qh_tensor& view) {
  return from_memory(view, [](void*) {});
}

qh_managed_tensor* export_tensor(at::Tensor tensor) {
  auto exported = std::make_unique<Exported>();
  exported->shape = tensor.sizes().vec();
  exported->strides = tensor.strides().vec();
  exported->managed = {1, 0, exported.get(), delete_exported, 0, view_of(tensor)};
  exported->managed.tensor.shape = exported->shape.data();
  exported->managed.tensor.strides = exported->strides.data();
  exported->tensor = std::move(tensor);
  return &exported.release()->managed;
}

at::Tensor import_tensor(qh_managed_tensor* tensor) {
  if (!tensor) fail(ErrorKind::kValue, "a plugin gave no tensor where it has to give one");
  if (tensor->deleter == delete_exported) {
    const std::unique_ptr<Exported> exported(static_cast<Exported*>(tensor->manager_ctx));
    return std::move(exported->tensor);
  }
  const auto release = [tensor](void*) {
    if (tensor->deleter) tensor->deleter(tensor);
  };
  try {
    return from_memory(tensor->tensor, release);
  } catch (...) {
    release(nullptr);
    throw;
  }
}

at::Tensor shared_tensor(const qh_managed_tensor* tensor) {
  if (tensor->deleter == delete_exported)
    return static_cast<Exported*>(tensor->manager_ctx)->tensor;
  return alias(tensor->tensor);
}

qh_tensor_sink tensor_sink(std::vector<std::pair<std::string, at::Tensor>>& out) {
  return {&out, [](void* ctx, qh_str name, qh_managed_tensor* tensor) -> qh_status {
            return guard_call([&] {
              at::Tensor imported = import_tensor(tensor);
              static_cast<std::vector<std::pair<std::string, at::Tensor>>*>(ctx)->emplace_back(
                  from_abi(name), std::move(imported));
            });
          }};
}

}  // namespace quanthost
