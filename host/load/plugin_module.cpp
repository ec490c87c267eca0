#include "host/load/plugin_module.hpp"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include "host/load/abi_strings.hpp"
#include "host/load/plugin_module_autograd.hpp"
#include "host/load/tensor_bridge.hpp"

namespace quanthost {
namespace {

constexpr std::size_t kMaxOutputDimensions = 8;  // as qh_module_class.output_info promises

}  // namespace

ModuleClass::ModuleClass(const qh_module_class& theirs)
    : identity(&theirs),
      table(complete(&theirs, "a plugin's module class")),
      name(from_abi(table.name)) {
  if (name.empty()) fail(ErrorKind::kValue, "a plugin's module class has no name");
  table.name = to_abi(name);
}

PluginModule::PluginModule(std::shared_ptr<const ModuleClass> module_class, qh_module* state,
                           std::string full_name, std::shared_ptr<Exec> exec)
    : Layer(module_class->name),
      class_(std::move(module_class)),
      state_(state),
      full_name_(std::move(full_name)),
      exec_(std::move(exec)) {
  out_features_ = class_->table.flags & QH_MODULE_LINEAR ? describe().out_features : 0;
}

PluginModule::~PluginModule() {
  if (state_) class_->table.destroy(state_);
}

void PluginModule::fail_call(qh_status status, const char* doing) const {
  throw take_call_error(status).within(fmt::format("{} ({}) {}", full_name_, class_->name, doing));
}

at::Tensor PluginModule::forward(const at::Tensor& input) {
  if (c10::GradMode::is_enabled() && input.requires_grad())
    return forward_with_gradient(*this, input);
  return compute(input);
}

at::Tensor PluginModule::empty_output(const at::Tensor& input) const {
  if (out_features_ > 0) {
    c10::SmallVector<std::int64_t, 5> shape(input.sizes().begin(), input.sizes().end());
    if (shape.empty()) fail(ErrorKind::kValue, "{}: the input is a scalar", full_name_);
    shape.back() = out_features_;
    return at::empty(shape, input.options());
  }
  std::int64_t shape[kMaxOutputDimensions] = {};
  qh_tensor out{};
  out.shape = shape;
  const qh_tensor in = view_of(input);
  const qh_status status = class_->table.output_info(state_, &in, 1, &out);
  if (status == kHostDefault)
    fail(ErrorKind::kNotImplemented, "{}: {} does not describe its output", full_name_,
         class_->name);
  check(status, "describing its output");
  if (out.ndim < 0 || static_cast<std::size_t>(out.ndim) > kMaxOutputDimensions) {
    fail(ErrorKind::kValue, "{}: output_info gives {} dimensions, 8 are allowed", full_name_,
         out.ndim);
  }
  return at::empty(at::IntArrayRef(shape, static_cast<std::size_t>(out.ndim)),
                   input.options().dtype(to_scalar_type(out.dtype)));
}

at::Tensor PluginModule::compute(const at::Tensor& input) {
  const at::Tensor x = input.contiguous();
  at::Tensor output = empty_output(x);
  const qh_tensor in = view_of(x);
  const qh_tensor out = view_of(output);
  clear_call_error();
  check(class_->table.forward(state_, exec_->abi(), &in, 1, &out), "running");
  return output;
}

at::Tensor PluginModule::gradient(const at::Tensor& grad_output, const at::Tensor& input) {
  const at::Tensor grad = grad_output.contiguous();
  at::Tensor result = at::empty(input.sizes(), input.options());
  const qh_tensor grad_view = view_of(grad), input_view = view_of(input),
                  result_view = view_of(result);
  clear_call_error();
  check(class_->table.backward_input(state_, exec_->abi(), &grad_view, &input_view, &result_view),
        "computing its gradient");
  return result;
}

qh_module_info PluginModule::describe() const {
  qh_module_info info{};
  info.struct_size = sizeof(info);
  check(class_->table.describe(state_, &info), "describing itself");
  return info;
}

std::vector<PluginParam> PluginModule::params() const {
  std::vector<PluginParam> out;
  const qh_param_info_sink sink{&out, [](void* ctx, const qh_param_info* theirs) -> qh_status {
                                  return guard_call([&] {
                                    const qh_param_info info = copy_sized(theirs);
                                    if (info.ndim < 0 || (info.ndim > 0 && !info.shape)) {
                                      fail(ErrorKind::kValue, "parameter {} has no shape",
                                           from_abi(info.name));
                                    }
                                    static_cast<std::vector<PluginParam>*>(ctx)->push_back(
                                        {std::string(from_abi(info.name)),
                                         info.dtype,
                                         {info.shape, info.shape + info.ndim},
                                         info.element_bytes,
                                         info.is_buffer != 0});
                                  });
                                }};
  check(class_->table.parameters(state_, sink), "listing its parameters");
  return out;
}

void PluginModule::set_param(const std::string& name, at::Tensor value) {
  clear_call_error();
  check(
      class_->table.set_param(state_, exec_->abi(), to_abi(name), export_tensor(std::move(value))),
      "taking a parameter");
}

at::Tensor PluginModule::get_param(const std::string& name) const {
  qh_managed_tensor* out = nullptr;
  clear_call_error();
  check(class_->table.get_param(state_, exec_->abi(), to_abi(name), &out), "giving a parameter");
  return import_tensor(out);
}

NamedTensors PluginModule::state_tensors() const {
  NamedTensors out;
  clear_call_error();
  check(class_->table.state_dict(state_, exec_->abi(), tensor_sink(out)), "giving its state");
  return out;
}

at::Tensor PluginModule::dequantize(qh_dtype dtype) const {
  qh_managed_tensor* out = nullptr;
  clear_call_error();
  check(class_->table.dequantize(state_, exec_->abi(), dtype, &out), "dequantizing");
  return import_tensor(out);
}

qh_module_memory PluginModule::memory() const {
  qh_module_memory memory{};
  memory.struct_size = sizeof(memory);
  clear_call_error();
  const qh_status status = class_->table.memory_bytes(state_, &memory);
  if (status == kHostDefault) {
    for (const auto& [name, tensor] : state_tensors()) memory.weight_bytes += tensor.nbytes();
    return memory;
  }
  check(status, "counting its memory");
  return memory;
}

void PluginModule::prepare() {
  clear_call_error();
  check(class_->table.prepare(state_, exec_->abi()), "preparing its kernels");
}

void PluginModule::move_to(std::shared_ptr<Exec> exec) {
  clear_call_error();
  check(class_->table.to_device(state_, exec->abi()), "moving to another device");
  exec_ = std::move(exec);
}

}  // namespace quanthost
