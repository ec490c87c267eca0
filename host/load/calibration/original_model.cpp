#include "host/load/calibration/original_model.hpp"

#include <utility>

#include "host/base/error.hpp"

namespace quanthost {

void OriginalModel::begin_block(const std::string& block, std::unique_ptr<BlockPasses> passes) {
  parameters_.clear();  // before the next ones are copied
  passes_ = std::move(passes);
  for (const model::ModuleEntry& entry : model::walk_modules(model::get_module(root_, block))) {
    auto owner = std::dynamic_pointer_cast<model::Module>(entry.module->shared_from_this());
    if (!owner) continue;
    const std::string owner_name = entry.name.empty() ? block : block + "." + entry.name;
    for (const auto& parameter : owner->named_parameters(/*recurse=*/false)) {
      if (parameter.value().defined())
        parameters_.push_back({owner, owner_name, parameter.key(), parameter.value().clone()});
    }
  }
}

void OriginalModel::need_whole_block() const {
  for (const Parameter& each : parameters_) {
    if (model::find_module(root_, each.owner_name) == each.owner.get()) continue;
    fail(ErrorKind::kRuntime,
         "{} was replaced before its block was advanced: what it is given in the original model is "
         "not known any more",
         each.owner_name);
  }
}

OriginalModel::InPlace::InPlace(OriginalModel& original) : original_(original) {
  for (Parameter& each : original.parameters_) {
    current_.push_back(each.owner->named_parameters(/*recurse=*/false)[each.name]);
    each.owner->set_parameter(each.name, each.value);
  }
}

OriginalModel::InPlace::~InPlace() {
  for (std::size_t i = 0; i < current_.size(); ++i) {
    const Parameter& each = original_.parameters_[i];
    each.owner->set_parameter(each.name, std::move(current_[i]));  // of the shape that it had
  }
}

}  // namespace quanthost
