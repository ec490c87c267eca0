// Parts of a model that live on disk: their memory is a file's pages, which the system drops when
// it needs room.
#pragma once

#include <filesystem>

#include "host/load/loader.hpp"

namespace quanthost {

// A plain tensor for the CPU or the disk that the checkpoint holds as the model needs it, aligned:
// it is used where it lies.
bool can_stay_in_file(const TensorPlan& plan);
at::Tensor tensor_in_file(
    const StoredTensor& stored);  // a view of the mapping; the checkpoint outlives it

[[noreturn]] void fail_without_offload_folder(const std::string& name);

// Writes <folder>/<name>.safetensors and gives back the tensor as a view of that file. Throws
// kValue without a folder.
at::Tensor offload(const std::filesystem::path& folder, const std::string& name,
                   const at::Tensor& value);

// Puts the quantized state of a module into files; nothing is quantized again.
void offload_module(const std::filesystem::path& folder, PluginModule& module);

}  // namespace quanthost
