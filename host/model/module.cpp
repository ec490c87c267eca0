#include "host/model/module.hpp"

#include "host/base/error.hpp"

namespace quanthost::model {
namespace {

template <class Hook>
HookHandle attach(std::shared_ptr<detail::Hooks>& hooks, std::list<Hook> detail::Hooks::*kind,
                  Hook hook) {
  if (!hooks) hooks = std::make_shared<detail::Hooks>();
  auto& list = (*hooks).*kind;
  auto place = list.insert(list.end(), std::move(hook));
  return HookHandle([weak = std::weak_ptr(hooks), kind, place] {
    if (auto alive = weak.lock()) ((*alive).*kind).erase(place);
  });
}

}  // namespace

void Module::replace_child(const std::string& child,
                           const std::shared_ptr<torch::nn::Module>& replacement) {
  for (auto& [cell_name, cell] : cells_) {
    if (cell_name != child) continue;
    if (!cell->put(replacement)) {
      fail(ErrorKind::kType,
           "child '{}' of {} cannot be replaced by a {}: it is not the kind of module called there",
           child, class_name(), replacement ? replacement->name() : "null module");
    }
    torch::nn::Module::replace_module(child, replacement);
    return;
  }
  fail(ErrorKind::kKey, "{} has no child '{}'", class_name(), child);
}

void Module::set_parameter(const std::string& parameter_name, at::Tensor value) {
  at::Tensor* place = parameters_.find(parameter_name);
  if (!place || !place->defined())
    fail(ErrorKind::kKey, "{} has no parameter '{}'", class_name(), parameter_name);
  if (place->sizes() != value.sizes()) {
    fail(ErrorKind::kValue, "parameter '{}' of {} has shape {}, the value given has {}",
         parameter_name, class_name(), c10::str(place->sizes()), c10::str(value.sizes()));
  }
  *place = std::move(value);
}

HookHandle Module::on_input(InputHook hook) {
  return attach(hooks_, &detail::Hooks::input, std::move(hook));
}

HookHandle Module::on_output(OutputHook hook) {
  return attach(hooks_, &detail::Hooks::output, std::move(hook));
}

void Module::add_parameter(const std::string& parameter_name, at::IntArrayRef shape,
                           const at::TensorOptions& options) {
  register_parameter(parameter_name, at::empty(shape, options), /*requires_grad=*/false);
}

void Module::add_absent_parameter(const std::string& parameter_name) {
  register_parameter(parameter_name, at::Tensor(), /*requires_grad=*/false);
}

void Module::add_transient_buffer(const std::string& buffer_name, at::Tensor value) {
  register_buffer(buffer_name, std::move(value));
  transient_.insert(buffer_name);
}

}  // namespace quanthost::model
