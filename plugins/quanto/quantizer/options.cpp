// QuantoConfig's fields as types.
#include "quantizer/options.hpp"

#include <quanthost/packages/quanto_kernels.h>

#include "quantizer/config_json.hpp"

namespace quanthost::quanto {
namespace {

struct Name {
  std::string_view name;
  QType qtype;
};
constexpr Name kNames[] = {{"int2", QType::int2},
                           {"int4", QType::int4},
                           {"int8", QType::int8},
                           {"float8_e4m3fn", QType::float8_e4m3fn},
                           {"float8", QType::float8_e4m3fn},
                           {"float8_e4m3fnuz", QType::float8_e4m3fnuz},
                           {"float8_e5m2", QType::float8_e5m2}};

CalibrationOptions calibration_options(const qh::Config& config) {
  const double momentum = config.number("calibration_momentum");
  if (momentum < 0.0 || momentum >= 1.0)
    throw qh::Error(QH_ERR_VALUE, "calibration_momentum has to be at least 0 and below 1, found " +
                                      std::to_string(momentum));
  return {entry_json(config.json(), "calibration"),
          config.has("calibration_tokenizer") ? config.string("calibration_tokenizer") : "",
          {momentum, config.boolean("calibration_streamline")},
          static_cast<std::uint32_t>(config.integer("calibration_batch_size")),
          static_cast<std::uint64_t>(config.integer("calibration_samples")),
          static_cast<std::uint64_t>(config.integer("calibration_sequence_length"))};
}

}  // namespace

QType qtype_from_config(std::string_view name) {
  for (const Name& known : kNames)
    if (known.name == name) return known.qtype;
  throw qh::Error(
      QH_ERR_VALUE,
      "Only support weights in ['float8', 'int8', 'int4', 'int2'] but found " + std::string(name),
      "float8_e4m3fn, float8_e4m3fnuz and float8_e5m2 name one kind of float8");
}

QType qtype_from_map(std::string_view name) {
  if (name.substr(0, 1) != "q")
    throw qh::Error(QH_ERR_VALUE,
                    "quanto_qmap.json names a quantized type '" + std::string(name) + "'",
                    "known are qint2, qint4, qint8, qfloat8 and its variants");
  return qtype_from_config(name.substr(1));
}

std::string map_name(QType qtype) {
  for (const Name& known : kNames)
    if (known.qtype == qtype) return std::string("q").append(known.name);
  throw qh::Error(QH_ERR_INTERNAL, "a quantized type without a name");
}

Options::Options(const qh::Config& config)
    : weights(qtype_from_config(config.string("weights"))),
      optimizer(config.string("optimizer") == "hqq" ? QH_QUANTO_OPTIMIZER_HQQ
                                                    : QH_QUANTO_OPTIMIZER_DEFAULT),
      convolutions(config.boolean("convolutions")) {
  if (config.has("activations")) {
    activations = qtype_from_config(config.string("activations"));
    if (is_affine(*activations))
      throw qh::Error(QH_ERR_VALUE,
                      "Only support activations in [None, 'int8', 'float8'] but found " +
                          config.string("activations"));
  }
  if (config.has("calibration")) {
    if (!activations)
      throw qh::Error(QH_ERR_VALUE, "calibration data is for quantized activations only",
                      "set `activations` too, or leave `calibration` out");
    calibration = calibration_options(config);
  }
  if (optimizer == QH_QUANTO_OPTIMIZER_HQQ && !is_affine(weights))
    throw qh::Error(QH_ERR_VALUE, "optimizer hqq is for weights in int2 and int4",
                    "leave `optimizer` out for types of 8 bits");
}

}  // namespace quanthost::quanto
