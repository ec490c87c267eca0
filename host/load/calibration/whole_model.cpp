#include "host/load/calibration/whole_model.hpp"

#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include "host/load/tokenizer_cache.hpp"

namespace quanthost {
namespace {

at::Tensor rows_of(const CalibrationBatch& batch,
                   const std::vector<std::int64_t> CalibrationRow::*values) {
  std::vector<std::int64_t> all;
  for (const CalibrationRow& row : batch)
    all.insert(all.end(), (row.*values).begin(), (row.*values).end());
  return at::tensor(all, at::kLong).view({static_cast<std::int64_t>(batch.size()), -1});
}

model::ModelInputs inputs_of(const CalibrationBatch& batch, at::Device device) {
  model::ModelInputs inputs;
  inputs.input_ids = rows_of(batch, &CalibrationRow::ids).to(device);
  for (const CalibrationRow& row : batch) {
    if (!row.padded()) continue;
    inputs.attention_mask = rows_of(batch, &CalibrationRow::mask).to(device);
    break;
  }
  return inputs;
}

}  // namespace

void run_whole_model(ModelContext& model, const Exec& exec, CalibrationDataRequest data,
                     const std::string& tokenizer) {
  if (model.info().main_input_name != "input_ids")
    throw Error(
        ErrorKind::kRuntime,
        fmt::format("only text models can be calibrated: the main input of this one is '{}'",
                    model.info().main_input_name),
        "load it without quantized activations");
  data.vocabulary = model.model().config().vocab_size;
  if (data.sequence_length == 0)
    data.sequence_length =
        std::min(kLongestSample, static_cast<std::uint64_t>(model.model().config().max_positions));
  const auto batches =
      read_calibration_batches(data, [&] { return model.tokenizers().get(tokenizer); });
  const c10::InferenceMode inference;
  std::size_t done = 0;
  for (const CalibrationBatch& batch : batches) {
    if (exec.cancel()) exec.cancel()->check();
    model.model().forward(inputs_of(batch, exec.memory()));
    exec.report_progress(++done, batches.size());
  }
}

}  // namespace quanthost
