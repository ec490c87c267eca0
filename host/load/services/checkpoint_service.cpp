// qh.checkpoint/1: the tensors and files that the model is loaded from.
#include <set>

#include "host/base/file.hpp"
#include "host/load/abi_strings.hpp"
#include "host/load/host_memory.hpp"
#include "host/load/model_context.hpp"
#include "host/load/services/services.hpp"

namespace quanthost::services {
namespace {

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{64} << 20;

const Checkpoint& checkpoint_of(qh_model* model) {
  const Checkpoint* checkpoint = ModelContext::from_abi(model).checkpoint();
  if (!checkpoint) fail(ErrorKind::kRuntime, "the model was not loaded from a checkpoint");
  return *checkpoint;
}

const StoredTensor& stored(qh_model* model, qh_str name) {
  const ModelContext& context = ModelContext::from_abi(model);
  return checkpoint_of(model).at(context.checkpoint_name(std::string(from_abi(name))));
}

qh_status names(qh_model* model, qh_str prefix, qh_str_sink out) {
  return guard_call([&] {
    for (const StoredTensor& tensor : checkpoint_of(model).tensors()) {
      if (tensor.name().starts_with(from_abi(prefix)))
        check_call(out.emit(out.ctx, to_abi(tensor.name())));
    }
  });
}

qh_status info(qh_model* model, qh_str name, qh_param_desc_sink out) {
  return guard_call([&] {
    const StoredTensor& tensor = stored(model, name);
    qh_param_desc desc{};
    desc.struct_size = sizeof(desc);
    desc.name = name;
    desc.tensor.device = {QH_DEVICE_CPU, 0};
    desc.tensor.ndim = static_cast<std::int32_t>(tensor.shape().size());
    desc.tensor.dtype = to_qh_dtype(to_scalar_type(tensor.dtype()));
    desc.tensor.shape = const_cast<std::int64_t*>(tensor.shape().data());
    check_call(out.emit(out.ctx, &desc));
  });
}

qh_status read(qh_model* model, const qh_exec* exec, qh_str name, qh_managed_tensor** out) {
  return guard_call([&] {
    const StoredTensor& tensor = stored(model, name);
    at::Tensor value = empty_host_tensor(tensor.shape(), to_scalar_type(tensor.dtype()));
    tensor.read({static_cast<std::byte*>(value.data_ptr()), value.nbytes()});
    *out = export_tensor(exec_from_abi(exec).take(value));
  });
}

qh_status metadata(qh_model* model, qh_pair_sink out) {
  return guard_call([&] {
    for (const auto& [key, value] : checkpoint_of(model).metadata()) {
      check_call(out.emit(out.ctx, to_abi(key), to_abi(value)));
    }
  });
}

// Only a file directly in the checkpoint's directory: a plugin's request must not lead elsewhere.
qh_status read_file(qh_model* model, qh_str name, qh_str_sink out) {
  return guard_call([&] {
    const std::filesystem::path file(from_abi(name));
    if (file.empty() || file != file.filename() || file == ".." || file == ".") {
      fail(ErrorKind::kValue, "\"{}\" is no plain file name", from_abi(name));
    }
    if (!ModelContext::from_abi(model).checkpoint()) return;  // absent, as every file of it
    const std::filesystem::path path = checkpoint_of(model).directory() / file;
    if (!std::filesystem::exists(path)) return;
    const std::string text = read_text_file(path, kMaxFileBytes);
    check_call(out.emit(out.ctx, to_abi(text)));
  });
}

}  // namespace

const qh_checkpoint_api& checkpoint() {
  static const qh_checkpoint_api table{
      sizeof(qh_checkpoint_api), 0, names, info, read, metadata, read_file};
  return table;
}

}  // namespace quanthost::services
