// One run of the host's qh.calibration/1.
#pragma once

#include <quanthost/abi/original_inputs.h>

#include <functional>
#include <optional>
#include <quanthost/plugin/model.hpp>
#include <string>
#include <vector>

namespace quanthost::gptq {

class CalibrationRun {
 public:
  CalibrationRun(const qh::Host& host, qh_session* session, const qh::Model& model,
                 const qh_calibration_args& args);
  ~CalibrationRun();
  CalibrationRun(const CalibrationRun&) = delete;
  CalibrationRun& operator=(const CalibrationRun&) = delete;

  std::uint64_t block_count() const;
  std::string block_name(std::uint64_t block) const;
  std::vector<std::string> layers(std::uint64_t block) const;  // in the order of the model

  // input is [tokens, in_features] of `samples` samples.
  using OnInput = std::function<void(std::string_view layer, qh::TensorView input,
                                     std::uint64_t batch, std::uint64_t samples)>;
  void run_block(const qh::Exec&, std::uint64_t block, const std::vector<std::string>& layers,
                 const OnInput& on_input) const;
  // From now on the samples also pass through the model as it is now: before the first block is
  // run.
  void keep_original();
  // With the input that the layer has in that model; null where it is given other tokens there.
  using OnInputs =
      std::function<void(std::string_view layer, qh::TensorView input, const qh_tensor* original,
                         std::uint64_t batch, std::uint64_t samples)>;
  void run_block_beside_original(const qh::Exec&, std::uint64_t block,
                                 const std::vector<std::string>& layers,
                                 const OnInputs& on_inputs) const;
  void advance(const qh::Exec&, std::uint64_t block) const;

  void journal_write(const std::string& key, const std::vector<std::uint8_t>& bytes) const;
  std::optional<std::vector<std::uint8_t>> journal_read(const qh::Exec&,
                                                        const std::string& key) const;

 private:
  const qh::Host& host_;
  const qh_calibration_api& api_;
  qh_original_inputs_api original_{};  // empty: not asked for
  qh_calibration* run_ = nullptr;
};

}  // namespace quanthost::gptq
