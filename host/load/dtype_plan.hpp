// Element types of a load: what the model is loaded in, and which parts stay in float32.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/load/model_context.hpp"

namespace quanthost {

// "auto": config.json's type, else that of the first floating tensor, else float32. Throws kValue
// for what is no type.
at::ScalarType resolve_dtype(std::string_view requested, const Checkpoint& checkpoint);

// Modules of the model's keep_in_fp32 list stay in float32 when it is loaded in float16, as
// transformers does it.
class KeepInFp32 {
 public:
  KeepInFp32(std::vector<std::string> modules, at::ScalarType load_type)
      : modules_(std::move(modules)), active_(load_type == at::kHalf) {}
  bool applies_to(std::string_view parameter) const;

 private:
  std::vector<std::string> modules_;
  bool active_;
};

}  // namespace quanthost
