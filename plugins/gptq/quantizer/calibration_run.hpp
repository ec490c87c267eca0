// One run of the host's qh.calibration/1.
#pragma once

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
  void advance(const qh::Exec&, std::uint64_t block) const;

  void journal_write(const std::string& key, const std::vector<std::uint8_t>& bytes) const;
  std::optional<std::vector<std::uint8_t>> journal_read(const qh::Exec&,
                                                        const std::string& key) const;

 private:
  const qh::Host& host_;
  const qh_calibration_api& api_;
  qh_calibration* run_ = nullptr;
};

}  // namespace quanthost::gptq
