// The rows' way through the blocks; how a run is opened is in calibration_run.cpp.
#include <ATen/ops/cat.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <optional>

#include "host/load/calibration/calibration_run.hpp"
#include "host/load/calibration/row_loop.hpp"

namespace quanthost {
namespace {

constexpr std::size_t kRowsOfThread = 4;  // in a wave

model::BlockInputs moved_to(model::BlockInputs inputs, at::Device device) {
  for (at::Tensor* tensor :
       {&inputs.mask, &inputs.sliding_mask, &inputs.position_ids, &inputs.cos, &inputs.sin}) {
    if (tensor->defined()) *tensor = tensor->to(device);
  }
  return inputs;
}

}  // namespace

void CalibrationRun::need_current(std::size_t block) const {
  layers(block);
  if (block == current_) return;
  if (current_ == kInterrupted)
    fail(ErrorKind::kRuntime, "block {} cannot be run: advancing was interrupted", block);
  fail(ErrorKind::kRuntime,
       "block {} cannot be run: the inputs at hand are those of block {}, and blocks are advanced "
       "in order",
       block, current_);
}

at::Tensor CalibrationRun::block_output(std::size_t block, std::size_t row,
                                        const Activations& activations, at::Device device) {
  return model_.model().run_block(block, activations.get(row).to(device),
                                  moved_to(shared_of(rows_[row]), device));
}

BlockPasses& CalibrationRun::passes(std::size_t block) {
  if (!passes_) passes_ = new_passes(block);
  return *passes_;
}

std::unique_ptr<BlockPasses> CalibrationRun::new_passes(std::size_t block) {
  return std::make_unique<BlockPasses>(model_.root(), block_name(block), layers(block),
                                       rows_.size(), *budget_);
}

// A wave has whole batches, and some rows for each thread if it can.
std::size_t CalibrationRun::last_row_of_wave(std::size_t first) const {
  std::size_t last = std::min(first + kRowsOfThread * row_threads(), rows_.size());
  while (last < rows_.size() && rows_[last].batch == rows_[last - 1].batch) ++last;
  return last;
}

// Rows on an accelerator follow one another on its stream.
void CalibrationRun::for_rows(at::Device device, std::size_t begin, std::size_t end,
                              const std::function<void(std::size_t row)>& body) const {
  if (device.is_cpu()) return for_each_row(begin, end, body);
  for (std::size_t row = begin; row < end; ++row) body(row);
}

void CalibrationRun::run_block(const Exec& exec, std::size_t block,
                               const std::vector<std::string>& chosen, const OnInput& on_input) {
  capture_inputs(
      exec, block, chosen, nullptr,
      [&](const std::string& layer, const at::Tensor& input, const at::Tensor&, std::size_t batch,
          std::size_t samples) { on_input(layer, input, batch, samples); });
}

void CalibrationRun::keep_original() {
  if (current_ != 0 || passes_ || original_) {
    fail(ErrorKind::kRuntime,
         "the original model has to be kept once, before the first block is run");
  }
  const c10::InferenceMode inference;
  auto activations = std::make_unique<Activations>(row_bytes_, budget_->left(), folder_);
  budget_->take(activations->bytes_in_memory());
  for (std::size_t row = 0; row < rows_.size(); ++row)
    activations->put(row, activations_->get(row));
  original_ = std::make_unique<OriginalModel>(model_.root(), std::move(activations));
  original_->begin_block(block_name(0), new_passes(0));
}

void CalibrationRun::run_block_beside_original(const Exec& exec, std::size_t block,
                                               const std::vector<std::string>& chosen,
                                               const OnInputs& on_inputs) {
  if (!original_)
    fail(ErrorKind::kRuntime, "block {} cannot be run beside the original: it was not kept", block);
  capture_inputs(exec, block, chosen, original_.get(), on_inputs);
}

void CalibrationRun::capture_inputs(const Exec& exec, std::size_t block,
                                    const std::vector<std::string>& chosen, OriginalModel* original,
                                    const OnInputs& on_inputs) {
  using Pass = BlockPasses::Pass;
  need_current(block);
  if (chosen.empty()) return;
  const c10::InferenceMode inference;
  const at::Device device = device_of(block, exec);
  std::optional<Pass> before;
  if (original) {
    original->need_whole_block();
    const OriginalModel::InPlace in_place(*original);
    before.emplace(original->passes(), chosen, Pass::Watchers::kOfAnotherPass);
  }
  Pass pass(passes(block), chosen);
  for (std::size_t first = 0; first < rows_.size();) {
    if (exec.cancel()) exec.cancel()->check();
    const std::size_t last = last_row_of_wave(first);
    Wave wave{first, {}, {}};
    if (original) {
      const OriginalModel::InPlace in_place(*original);
      wave.original = capture_wave(*before, original->activations(), block, device, first, last);
      if (first == 0) before->learn_sharing(wave.original.front());
    }
    wave.captured = capture_wave(pass, *activations_, block, device, first, last);
    if (first == 0) pass.learn_sharing(wave.captured.front());
    hand_over(wave, chosen, on_inputs);
    exec.report_progress(last, rows_.size());
    first = last;
  }
}

std::vector<CalibrationRun::Captured> CalibrationRun::capture_wave(
    const BlockPasses::Pass& pass, const Activations& activations, std::size_t block,
    at::Device device, std::size_t first, std::size_t last) {
  std::vector<Captured> captured(last - first);
  for_rows(device, first, last, [&](std::size_t row) {
    captured[row - first] = pass.run(row, [&] { block_output(block, row, activations, device); });
  });
  return captured;
}

void CalibrationRun::hand_over(Wave& wave, const std::vector<std::string>& chosen,
                               const OnInputs& on_inputs) const {
  for (std::size_t begin = 0; begin < wave.captured.size();) {
    const std::size_t batch = rows_[wave.first + begin].batch;
    std::size_t end = begin;
    while (end < wave.captured.size() && rows_[wave.first + end].batch == batch) ++end;
    hand_over_batch(wave, begin, end, chosen, on_inputs);
    begin = end;
  }
}

void CalibrationRun::hand_over_batch(Wave& wave, std::size_t begin, std::size_t end,
                                     const std::vector<std::string>& chosen,
                                     const OnInputs& on_inputs) const {
  const auto joined = [](const std::vector<at::Tensor>& parts) {
    return parts.size() == 1 ? parts.front() : at::cat(parts);
  };
  for (std::size_t layer = 0; layer < chosen.size(); ++layer) {
    std::vector<at::Tensor> parts, originals;
    for (std::size_t row = begin; row < end; ++row) {
      if (!wave.captured[row][layer].defined()) continue;
      parts.push_back(std::move(wave.captured[row][layer]));
      if (wave.original.empty()) continue;
      at::Tensor original = std::move(wave.original[row][layer]);
      if (are_the_same_tokens(wave.first + row, parts.back(), original))
        originals.push_back(std::move(original));
    }
    if (parts.empty()) continue;
    on_inputs(chosen[layer], joined(parts),
              originals.size() == parts.size() ? joined(originals) : at::Tensor(),
              rows_[wave.first + begin].batch, end - begin);
  }
}

// A layer that is given every token of a row is given them in their order.
bool CalibrationRun::are_the_same_tokens(std::size_t row, const at::Tensor& a,
                                         const at::Tensor& b) const {
  const auto tokens = static_cast<std::int64_t>(rows_[row].data.ids.size());
  return b.defined() && a.size(0) == tokens && b.size(0) == tokens;
}

void CalibrationRun::advance(const Exec& exec, std::size_t block) {
  need_current(block);
  const c10::InferenceMode inference;
  current_ = kInterrupted;
  if (original_) {
    original_->need_whole_block();
    const OriginalModel::InPlace in_place(*original_);
    advance_rows(exec, block, original_->passes(), original_->activations());
  }
  advance_rows(exec, block, passes(block), *activations_);
  passes_.reset();
  current_ = block + 1;
  if (original_ && current_ < block_count())
    original_->begin_block(block_name(current_), new_passes(current_));
}

void CalibrationRun::advance_rows(const Exec& exec, std::size_t block, BlockPasses& passes,
                                  Activations& activations) {
  if (block + 1 == block_count()) return;  // nothing needs its outputs
  const at::Device device = device_of(block, exec);
  const BlockPasses::Pass pass(passes, {});
  for (std::size_t first = 0; first < rows_.size();) {
    if (exec.cancel()) exec.cancel()->check();
    const std::size_t last = last_row_of_wave(first);
    for_rows(device, first, last, [&](std::size_t row) {
      pass.run(row, [&] { activations.put(row, block_output(block, row, activations, device)); });
    });
    exec.report_progress(last, rows_.size());
    first = last;
  }
}

}  // namespace quanthost
