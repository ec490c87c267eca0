#include "host/checkpoint/gguf_rope.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

// All Llama 3 models were trained with these; the factor differs, and is the largest one in the
// tensor.
constexpr double kLowFrequencyFactor = 1.0;
constexpr double kHighFrequencyFactor = 4.0;
constexpr double kOriginalContext = 8192.0;
constexpr double kTolerance = 1e-3;

double llama3_divisor(double frequency, double factor) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < kOriginalContext / kHighFrequencyFactor) return 1.0;
  if (wavelength > kOriginalContext / kLowFrequencyFactor) return factor;
  const double smooth = (kOriginalContext / wavelength - kLowFrequencyFactor) /
                        (kHighFrequencyFactor - kLowFrequencyFactor);
  return 1.0 / ((1.0 - smooth) / factor + smooth);
}

Json llama3_scaling(const GgufFile& file, const GgufTensor& tensor, double theta,
                    std::int64_t head_dim) {
  std::vector<float> factors(tensor.elements());
  dequantize(tensor.type, file.view(tensor), factors);
  if (factors.size() * 2 != static_cast<std::size_t>(head_dim)) {
    fail(ErrorKind::kValue, "tensor {} has {} elements, heads of {} need {}", tensor.name,
         factors.size(), head_dim, head_dim / 2);
  }
  const double factor = *std::max_element(factors.begin(), factors.end());
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
    const double expected = llama3_divisor(std::pow(theta, -exponent), factor);
    if (!(std::abs(factors[i] - expected) <= kTolerance * expected)) {
      fail(ErrorKind::kNotImplemented,
           "tensor {}: its factors are not those of Llama 3 (element {} is {}, not {})",
           tensor.name, i, factors[i], expected);
    }
  }
  return {{"rope_type", "llama3"},
          {"factor", factor},
          {"low_freq_factor", kLowFrequencyFactor},
          {"high_freq_factor", kHighFrequencyFactor},
          {"original_max_position_embeddings", static_cast<std::int64_t>(kOriginalContext)}};
}

}  // namespace

Json rope_scaling_of(const GgufFile& file, const std::string& arch, double theta,
                     std::int64_t head_dim) {
  if (const GgufTensor* tensor = file.find(kRopeFactorsTensor))
    return llama3_scaling(file, *tensor, theta, head_dim);
  const GgufMetadata& metadata = file.metadata();
  const std::string* type = metadata.text(arch + ".rope.scaling.type");
  if (type == nullptr || *type == "none") return nullptr;
  const auto factor = metadata.number(arch + ".rope.scaling.factor");
  if (!factor) fail(ErrorKind::kKey, "metadata {}.rope.scaling.factor is missing", arch);
  if (*type == "linear") return {{"rope_type", "linear"}, {"factor", *factor}};
  if (*type == "yarn") {
    return {{"rope_type", "yarn"},
            {"factor", *factor},
            {"original_max_position_embeddings",
             metadata.required_unsigned(arch + ".rope.scaling.original_context_length")}};
  }
  fail(ErrorKind::kNotImplemented, "rope scaling \"{}\" is not converted", *type);
}

}  // namespace quanthost
