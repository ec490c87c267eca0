#include "host/model/rope.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

namespace quanthost::model {
namespace {

// Llama 3: long waves are stretched, short ones kept, and those between are mixed.
at::Tensor scaled_for_llama3(const at::Tensor& inv_freq, const RopeConfig& rope) {
  const double old_length = rope.original_max_positions;
  const double long_wave = old_length / rope.low_freq_factor;
  const double short_wave = old_length / rope.high_freq_factor;
  const at::Tensor wave = 2.0 * std::numbers::pi / inv_freq;
  const at::Tensor stretched = at::where(wave > long_wave, inv_freq / rope.factor, inv_freq);
  const at::Tensor mix =
      (old_length / wave - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  const at::Tensor mixed = (1.0 - mix) * stretched / rope.factor + mix * stretched;
  const at::Tensor between = (wave < short_wave).logical_or(wave > long_wave).logical_not();
  return at::where(between, mixed, stretched);
}

}  // namespace

RotaryEmbedding::RotaryEmbedding(const ModelConfig& config, std::string class_name)
    : Module(std::move(class_name)),
      rope_(config.rope),
      dim_(static_cast<std::int64_t>(static_cast<double>(config.head_dim) *
                                     config.rope.rotary_fraction)),
      max_positions_(config.max_positions) {
  inv_freq_ = frequencies_for_length(max_positions_);
  add_transient_buffer("inv_freq", inv_freq_);
  add_transient_buffer("original_inv_freq", inv_freq_.clone());
}

at::Tensor RotaryEmbedding::frequencies(double theta) const {
  const at::Tensor exponents =
      at::arange(0, dim_, 2, at::kLong).to(at::kFloat) / static_cast<double>(dim_);
  return 1.0 / at::pow(theta, exponents);
}

at::Tensor RotaryEmbedding::frequencies_for_length(std::int64_t length) const {
  if (rope_.type == "default") return frequencies(rope_.theta);
  if (rope_.type == "linear") return frequencies(rope_.theta) / rope_.factor;
  if (rope_.type == "llama3") return scaled_for_llama3(frequencies(rope_.theta), rope_);
  if (rope_.type == "dynamic") {
    const double dim = static_cast<double>(dim_);
    const double ratio =
        static_cast<double>(std::max(length, max_positions_)) / static_cast<double>(max_positions_);
    return frequencies(rope_.theta *
                       std::pow(rope_.factor * ratio - (rope_.factor - 1.0), dim / (dim - 2.0)));
  }
  throw Error(ErrorKind::kNotImplemented,
              fmt::format("config.json: rope type '{}' is not supported", rope_.type),
              "supported: default, linear, dynamic, llama3");
}

std::pair<at::Tensor, at::Tensor> RotaryEmbedding::angles(const at::Tensor& position_ids,
                                                          at::ScalarType dtype,
                                                          std::int64_t length) const {
  at::Tensor inv_freq = inv_freq_;
  if (dynamic())
    inv_freq =
        frequencies_for_length(length > 0 ? length : position_ids.max().item<std::int64_t>() + 1);
  const at::Tensor positions = position_ids.to(at::kFloat).unsqueeze(-1);
  const at::Tensor half = positions * inv_freq.to(positions.device());
  const at::Tensor full = at::cat({half, half}, -1);
  return {full.cos().to(dtype), full.sin().to(dtype)};
}

std::int64_t DynamicRopeLength::next(std::int64_t length) {
  if (length > kept_) {
    kept_ = length;
  } else if (length < trained_) {
    kept_ = trained_;
  }
  return kept_;
}

at::Tensor rotate(const at::Tensor& states, const at::Tensor& cos, const at::Tensor& sin) {
  const std::int64_t rotary = cos.size(-1);
  const bool partial = rotary < states.size(-1);
  const at::Tensor turned = partial ? states.narrow(-1, 0, rotary) : states;
  const std::int64_t half = rotary / 2;
  const at::Tensor swapped =
      at::cat({turned.narrow(-1, half, half).neg(), turned.narrow(-1, 0, half)}, -1);
  at::Tensor rotated = turned * cos.unsqueeze(1) + swapped * sin.unsqueeze(1);
  if (!partial) return rotated;
  return at::cat({rotated, states.narrow(-1, rotary, states.size(-1) - rotary)}, -1);
}

}  // namespace quanthost::model
