#include "host/conformance/mock_model.hpp"

#include <cmath>
#include <random>

#include "quanthost/plugin/host.hpp"

namespace quanthost::conformance {
namespace {

// Close to what trained weights look like: a bell curve, whose rows differ in size.
void fill_random(const qh_tensor& tensor, std::mt19937_64& engine) {
  const std::int64_t columns = tensor.shape[tensor.ndim - 1];
  const auto uniform = [&] { return static_cast<double>(engine() >> 11) * 0x1p-53; };
  double row_scale = 1;
  for (std::int64_t i = 0, n = element_count(tensor); i < n; ++i) {
    if (i % columns == 0) row_scale = 0.02 + 0.08 * uniform();
    double sum = -6;
    for (int k = 0; k < 12; ++k) sum += uniform();
    write_element(tensor, i, sum * row_scale);
  }
}

}  // namespace

MockModel::MockModel(qh_dtype type, std::uint64_t seed) : dtype(type) {
  modules = {{"", "MockForCausalLM", "", 0, 0, false},
             {"model", "MockModel", "", 0, 0, false},
             {"model.layers", "ModuleList", "model", 0, 0, false},
             {"model.layers.0", "MockDecoderLayer", "model.layers", 0, 0, false},
             {"model.layers.0.up_proj", "Linear", "model.layers.0", 128, 96, true},
             {"model.layers.0.gate_proj", "Linear", "model.layers.0", 96, 130, false},
             {"model.layers.0.down_proj", "Linear", "model.layers.0", 160, 64, true},
             {"lm_head", "Linear", "", 64, 32, false}};
  std::mt19937_64 engine(seed);
  for (const MockModule& module : modules) {
    if (module.in_features == 0) continue;
    const auto add = [&](const char* leaf, const std::vector<std::int64_t>& shape) {
      Owned value(make_tensor(dtype, shape));
      fill_random(value.view(), engine);
      parameters.emplace(module.name + "." + leaf, Owned(make_tensor(dtype, shape)));
      checkpoint.emplace(module.name + "." + leaf, std::move(value));
    };
    add("weight", {module.out_features, module.in_features});
    if (module.has_bias) add("bias", {module.out_features});
  }
}

MockModel::~MockModel() {
  for (MockModule& module : modules) replace(module, nullptr, nullptr);
}

MockModule* MockModel::find(std::string_view name) {
  for (MockModule& module : modules)
    if (module.name == name) return &module;
  return nullptr;
}

void MockModel::replace(MockModule& module, const qh_module_class* klass, qh_module* state) {
  if (module.table.destroy) module.table.destroy(module.state);
  module.klass = klass;
  module.table = qh::copy_sized(klass);
  module.state = state;
}

}  // namespace quanthost::conformance
