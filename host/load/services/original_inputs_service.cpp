// qh.original_inputs/1: calibration beside the model as it was.
#include <quanthost/abi/original_inputs.h>

#include "host/load/abi_strings.hpp"
#include "host/load/calibration/calibration_run.hpp"
#include "host/load/services/services.hpp"

namespace quanthost::services {
namespace {

qh_status keep(qh_calibration* run) {
  return guard_call([&] { CalibrationRun::from_abi(run).keep_original(); });
}

qh_status run_block(qh_calibration* run, const qh_exec* exec, std::uint64_t block,
                    qh_str_list chosen, qh_layer_inputs_fn on_inputs, void* arg) {
  return guard_call([&] {
    CalibrationRun::from_abi(run).run_block_beside_original(
        exec_from_abi(exec), block, to_strings(chosen),
        [&](const std::string& layer, const at::Tensor& input, const at::Tensor& original,
            std::size_t batch, std::size_t samples) {
          const qh_tensor view = view_of(input);
          const qh_tensor before = original.defined() ? view_of(original) : qh_tensor{};
          check_call(on_inputs(arg, to_abi(layer), &view, original.defined() ? &before : nullptr,
                               batch, samples));
        });
  });
}

}  // namespace

const qh_original_inputs_api& original_inputs() {
  static const qh_original_inputs_api table{sizeof(qh_original_inputs_api), 0, keep, run_block};
  return table;
}

}  // namespace quanthost::services
