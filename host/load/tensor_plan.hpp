// Where each stored tensor goes and which keys are missing: the last decisions before reading.
#pragma once

#include <map>
#include <string>

#include "host/load/loader.hpp"

namespace quanthost {

// The model's name of every stored tensor, decided while the modules are still the architecture's
// own.
std::map<std::string, std::string> model_names(LoadedModel& loaded);

// Fills `plan` and `keys`. The device map and the quantizer's modules are in place.
void plan_tensors(LoadedModel& loaded, const LoadOptions& options,
                  const std::map<std::string, std::string>& names);

// Throws for keys that mismatch or are missing, warns of unexpected ones.
void judge_keys(const LoadedModel& loaded, const LoadOptions& options);

}  // namespace quanthost
