// What the host reads of a config.json itself; the rest belongs to the model.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "host/base/json.hpp"
#include "host/checkpoint/dtype.hpp"

namespace quanthost {

// "dtype", or the older "torch_dtype" where that is missing or null; nothing when there is neither.
// Throws Error(kValue) for a name that torch does not have.
std::optional<Dtype> dtype_of_config(const Json& config);
std::string architecture_of_config(const Json& config);  // the first of "architectures", or empty
std::string model_type_of_config(const Json& config);    // or empty

// Throws Error(kOs) where there is no folder with a config.json, and says what to give.
void need_model_folder(const std::filesystem::path& path);

// An entry that is a text, or empty.
std::string text_entry(const Json& object, const char* key);

}  // namespace quanthost
