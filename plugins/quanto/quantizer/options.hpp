// QuantoConfig's fields as types, and the names optimum-quanto gives them.
#pragma once

#include <optional>
#include <quanthost/plugin/quantizer.hpp>
#include <string>

#include "format.hpp"
#include "quantizer/activations.hpp"

namespace quanthost::quanto {

// "int4" as QuantoConfig says it, "qint4" as optimum-quanto does.
QType qtype_from_config(std::string_view name);
QType qtype_from_map(std::string_view name);
std::string map_name(QType qtype);

// How the scales of activations are found; `dataset` is what qh.forward/1 reads.
struct CalibrationOptions {
  std::string dataset;
  std::string tokenizer;
  CalibrationSettings settings;
  std::uint32_t batch_size;
  std::uint64_t samples;          // 0: all
  std::uint64_t sequence_length;  // 0: the model's longest
};

struct Options {
  QType weights;
  std::optional<QType> activations;
  std::int32_t optimizer;  // QH_QUANTO_OPTIMIZER_*
  bool convolutions;       // Conv2d layers too
  std::optional<CalibrationOptions> calibration;

  explicit Options(const qh::Config& config);
};

}  // namespace quanthost::quanto
