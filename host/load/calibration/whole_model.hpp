// The whole model over a data set, for quantizers whose modules watch what passes through them.
#pragma once

#include <string>

#include "host/load/calibration/batches.hpp"
#include "host/load/exec.hpp"
#include "host/load/model_context.hpp"

namespace quanthost {

// One forward a batch, in the order of the data, on the calling thread. `data`'s vocabulary and,
// when it is 0, its sequence length come from the model; `tokenizer` is empty for the model's own.
void run_whole_model(ModelContext& model, const Exec& exec, CalibrationDataRequest data,
                     const std::string& tokenizer);

}  // namespace quanthost
