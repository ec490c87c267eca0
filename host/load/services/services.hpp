// What the host offers plugins, by id. One file a service; this header joins them.
#pragma once

#include <quanthost/abi/forward.h>
#include <quanthost/abi/layers.h>
#include <quanthost/abi/original_inputs.h>
#include <quanthost/abi/services.h>

#include <string_view>

namespace quanthost::services {

const qh_log_api& log();
const qh_threads_api& threads();
const qh_progress_api& progress();
const qh_packages_api& packages();
const qh_tensor_api& tensor();
const qh_model_api& model();
const qh_checkpoint_api& checkpoint();
const qh_linalg_api& linalg();
const qh_text_api& text();
const qh_calibration_api& calibration();
const qh_forward_api& forward();
const qh_layers_api& layers();
const qh_original_inputs_api& original_inputs();

// The table of a service, or null when this host has none of that id.
const void* find(std::string_view id);

}  // namespace quanthost::services
