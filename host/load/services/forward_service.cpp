// qh.forward/1: the whole model over a data set.
#include <quanthost/abi/forward.h>

#include "host/load/abi_strings.hpp"
#include "host/load/calibration/whole_model.hpp"
#include "host/load/services/services.hpp"

namespace quanthost::services {
namespace {

qh_status run(qh_session*, qh_model* model, const qh_exec* exec, const qh_calibration_args* given) {
  return guard_call([&] {
    const qh_calibration_args args = copy_sized(given);
    CalibrationDataRequest data;
    data.dataset = from_abi(args.dataset_json);
    data.sample_count = args.sample_count;
    data.sequence_length = args.sequence_length;
    data.batch_size = args.batch_size;
    data.pad_token_id = args.pad_token_id;
    run_whole_model(ModelContext::from_abi(model), exec_from_abi(exec), std::move(data),
                    std::string(from_abi(args.tokenizer)));
  });
}

}  // namespace

const qh_forward_api& forward() {
  static const qh_forward_api table{sizeof(qh_forward_api), 0, run};
  return table;
}

}  // namespace quanthost::services
