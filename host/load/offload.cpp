#include "host/load/offload.hpp"

#include <ATen/ops/from_blob.h>

#include "host/checkpoint/safetensors_writer.hpp"

namespace quanthost {
namespace {

at::Tensor view_of_file(const std::shared_ptr<const SafetensorsFile>& file,
                        const TensorInfo& info) {
  auto* data = const_cast<std::byte*>(file->view(info).data());
  return at::from_blob(
      data, info.shape, [file](void*) {}, at::TensorOptions().dtype(to_scalar_type(info.dtype)));
}

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

std::shared_ptr<const SafetensorsFile> write_file(const std::filesystem::path& folder,
                                                  const std::string& name,
                                                  const NamedTensors& tensors) {
  if (folder.empty()) fail_without_offload_folder(name);
  std::filesystem::create_directories(folder);
  std::vector<TensorDeclaration> declarations;
  for (const auto& [key, tensor] : tensors) {
    declarations.push_back({key, to_dtype(tensor.scalar_type()), tensor.sizes().vec()});
  }
  const std::filesystem::path path = folder / (name + ".safetensors");
  SafetensorsWriter writer(path, std::move(declarations));
  for (const auto& [key, tensor] : tensors) writer.write(key, bytes_of(tensor));
  writer.finish();
  return std::make_shared<const SafetensorsFile>(SafetensorsFile::open(path));
}

}  // namespace

void fail_without_offload_folder(const std::string& name) {
  throw Error(ErrorKind::kValue,
              fmt::format("{} goes to the disk, but there is no folder for it", name),
              "give one with --offload-folder");
}

bool can_stay_in_file(const TensorPlan& plan) {
  if (plan.device != "disk" && plan.device != "cpu") return false;
  if (plan.quantized || plan.cast || (plan.copied && plan.device == "cpu")) return false;
  const auto address = reinterpret_cast<std::uintptr_t>(plan.stored->view().data());
  return address % c10::elementSize(to_scalar_type(plan.stored->dtype())) == 0;
}

at::Tensor tensor_in_file(const StoredTensor& stored) {
  auto* data = const_cast<std::byte*>(stored.view().data());
  return at::from_blob(data, stored.shape(),
                       at::TensorOptions().dtype(to_scalar_type(stored.dtype())));
}

at::Tensor offload(const std::filesystem::path& folder, const std::string& name,
                   const at::Tensor& value) {
  const auto file = write_file(folder, name, {{"value", value.contiguous().cpu()}});
  return view_of_file(file, *file->find("value"));
}

void offload_module(const std::filesystem::path& folder, PluginModule& module) {
  NamedTensors state;
  for (auto& [name, tensor] : module.state_tensors())
    state.emplace_back(name, tensor.contiguous().cpu());
  const auto file = write_file(folder, module.full_name(), state);
  for (const auto& [name, tensor] : state)
    module.set_param(name, view_of_file(file, *file->find(name)));
}

}  // namespace quanthost
