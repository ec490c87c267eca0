// Completes plugins' tables: what is NULL or was not yet known when the plugin was built gets the
// base-class default, so that no caller checks for NULL.
#pragma once

#include <quanthost/abi/module.h>
#include <quanthost/abi/plugin.h>
#include <quanthost/abi/quantizer.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace quanthost {

// A default that needs the model or the config answers this instead of QH_OK, and the load pipeline
// does it: get_special_dtypes_update, param_element_size, get_state_dict_and_metadata and
// saved_config of a quantizer; output_info and memory_bytes of a module class. No plugin returns
// it.
inline constexpr qh_status kHostDefault = -1;

// Copies what both sides know of a sized struct into a zeroed local.
template <typename T>
T copy_sized(const T* theirs) {
  T mine{};
  std::memcpy(static_cast<void*>(&mine), theirs,
              std::min<std::size_t>(theirs->struct_size, sizeof(T)));
  mine.struct_size = sizeof(T);
  return mine;
}

// Throw kRuntime, naming the slot, when a required one is missing or the table is NULL or too short
// to hold it.
qh_plugin_api complete(const qh_plugin_api* theirs, std::string_view plugin_id);
qh_quantizer_api complete(const qh_quantizer_api* theirs, std::string_view plugin_id);
qh_module_class complete(const qh_module_class* theirs, std::string_view plugin_id);

}  // namespace quanthost
