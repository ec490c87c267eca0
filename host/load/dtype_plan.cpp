#include "host/load/dtype_plan.hpp"

#include <algorithm>

namespace quanthost {

at::ScalarType resolve_dtype(std::string_view requested, const Checkpoint& checkpoint) {
  if (!requested.empty() && requested != "auto") {
    const at::ScalarType type = to_scalar_type(qh_dtype_named(requested));
    if (!at::isFloatingType(type)) {
      throw Error(ErrorKind::kValue,
                  fmt::format("a model cannot be loaded in {}: only in a floating type", requested),
                  "write float32, float16, bfloat16 or auto");
    }
    return type;
  }
  if (const auto configured = checkpoint.config_dtype()) return to_scalar_type(*configured);
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    if (is_floating_point(tensor.dtype())) return to_scalar_type(tensor.dtype());
  }
  return at::kFloat;
}

bool KeepInFp32::applies_to(std::string_view parameter) const {
  if (!active_) return false;
  const std::string dotted = fmt::format(".{}.", parameter);
  return std::any_of(modules_.begin(), modules_.end(), [&](const std::string& module) {
    return dotted.find(fmt::format(".{}.", module)) != std::string::npos;
  });
}

}  // namespace quanthost
