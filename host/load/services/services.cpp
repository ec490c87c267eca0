#include "host/load/services/services.hpp"

#include <array>
#include <utility>

namespace quanthost::services {

const void* find(std::string_view id) {
  using Entry = std::pair<std::string_view, const void*>;
  static const std::array<Entry, 13> kServices{{{QH_LOG_ID, &log()},
                                                {QH_THREADS_ID, &threads()},
                                                {QH_PROGRESS_ID, &progress()},
                                                {QH_PACKAGES_ID, &packages()},
                                                {QH_TENSOR_ID, &tensor()},
                                                {QH_MODEL_ID, &model()},
                                                {QH_CHECKPOINT_ID, &checkpoint()},
                                                {QH_LINALG_ID, &linalg()},
                                                {QH_TEXT_ID, &text()},
                                                {QH_CALIBRATION_ID, &calibration()},
                                                {QH_FORWARD_ID, &forward()},
                                                {QH_LAYERS_ID, &layers()},
                                                {QH_ORIGINAL_INPUTS_ID, &original_inputs()}}};
  for (const auto& [known, table] : kServices) {
    if (known == id) return table;
  }
  return nullptr;
}

}  // namespace quanthost::services
