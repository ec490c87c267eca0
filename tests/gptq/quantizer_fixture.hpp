// The gptq plugin of this build on the conformance suite's mock model.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "format.hpp"
#include "quanthost/cpu/formats.hpp"
#include "quanthost/plugin/host.hpp"
#include "tests/conformance/plugin_subject.hpp"
#include "tests/folders.hpp"
#include "tests/gptq/fake_calibration.hpp"

namespace quanthost::gptq::testing {

inline const std::string kUp = "model.layers.0.up_proj";  // 128 inputs, 96 outputs, bias

using namespace conformance;
using Config = std::map<std::string, OrderedJson>;

// The CPU provider of this build under any version, and the host's optimum.
inline Subject make_subject(const std::string& kernels = "0.7.1") {
  const std::string plugin = test::built_plugin("gptq");
  return {
      plugin,
      manifest_of(plugin),
      1,
      {{"optimum", bare_package("2.3.0")},
       {"auto_gptq", provided_package("auto_gptq", kernels, test::built_plugin("qh_gptq_cpu"))}}};
}

struct Gptq {
  MockHost host;
  Subject subject = make_subject();

  Gptq() {
    host.api.get_service = [](qh_host*, qh_str id) -> const void* {
      return service_of_test(qh::from_abi(id));
    };
  }
  MockLoad load(Config config = {}, bool pre_quantized = false, qh_dtype dtype = qh::kFloat32,
                std::uint32_t threads = 2) {
    return MockLoad(host, subject, subject.manifest.quantizers.at(0),
                    {pre_quantized, threads, dtype, std::move(config)});
  }
};

inline std::string text_of(const std::function<qh_status(qh_str_sink)>& slot) {
  std::string text;
  EXPECT_EQ(slot(qh::text_sink(text)), QH_OK);
  return text;
}

inline OrderedJson saved_config(MockLoad& load) {
  return OrderedJson::parse(text_of([&](qh_str_sink out) {
    return load.api().saved_config(load.quantizer(), load.model().handle(), out);
  }));
}

inline std::map<std::string, std::string> saved_files(MockLoad& load) {
  std::map<std::string, std::string> files;
  EXPECT_EQ(load.api().saved_files(
                load.quantizer(), load.model().handle(),
                {&files,
                 [](void* ctx, qh_str name, qh_str content) -> qh_status {
                   (*static_cast<decltype(files)*>(ctx))[std::string(qh::from_abi(name))] =
                       qh::from_abi(content);
                   return QH_OK;
                 }}),
            QH_OK);
  return files;
}

template <typename T>
Owned owned(qh_dtype dtype, const std::vector<std::int64_t>& shape, const std::vector<T>& values) {
  Owned tensor(make_tensor(dtype, shape));
  std::memcpy(data_of(tensor.view()), values.data(), values.size() * sizeof(T));
  return tensor;
}

// A layer of a checkpoint in plain codes.
struct StoredLayer {
  int bits = 4;
  std::int64_t inputs, outputs, group_size;
  std::vector<std::uint8_t> codes, zeros;
  std::vector<cpu::Float16> scales;
  std::vector<std::int32_t> g_idx;
  std::int64_t groups() const { return groups_of(inputs, group_size); }

  static StoredLayer random(std::int64_t inputs, std::int64_t outputs, int bits,
                            std::int64_t group_size, bool symmetric, bool shuffled) {
    StoredLayer layer{bits, inputs, outputs, group_size, {}, {}, {}, {}};
    std::mt19937 engine(static_cast<unsigned>(inputs * 31 + outputs + bits));
    const auto draw = [&](unsigned count) { return engine() % count; };
    for (std::int64_t i = 0; i < inputs * outputs; ++i)
      layer.codes.push_back(static_cast<std::uint8_t>(draw(1u << bits)));
    for (std::int64_t i = 0; i < layer.groups() * outputs; ++i) {
      // From 1 on: what AutoGPTQ's tools can write.
      layer.zeros.push_back(
          static_cast<std::uint8_t>(symmetric ? symmetric_zero(bits) : 1 + draw((1u << bits) - 1)));
      layer.scales.push_back(
          cpu::from_float<cpu::Float16>(0.002f + static_cast<float>(draw(100)) * 1e-4f));
    }
    layer.g_idx = consecutive_groups(inputs, group_size);
    if (shuffled) std::shuffle(layer.g_idx.begin(), layer.g_idx.end(), engine);
    return layer;
  }

  // Puts the layer's tensors into the place of the dense ones.
  void put(MockModel& model, const std::string& name, WordLayout layout, ZeroFormat format) const {
    model.checkpoint.erase(name + ".weight");
    const auto qweight = pack_weight(codes, inputs, outputs, bits, layout);
    auto qzeros = pack_zeros(zeros, groups(), outputs, bits, layout);
    if (format == ZeroFormat::v1)
      convert_zeros(qzeros, groups(), outputs, bits, ZeroFormat::v2, ZeroFormat::v1);
    model.checkpoint[name + ".qweight"] =
        owned(qh::kInt32, {words_for(inputs, bits, layout), outputs}, qweight);
    model.checkpoint[name + ".qzeros"] =
        owned(qh::kInt32, {groups(), words_for(outputs, bits, layout)}, qzeros);
    model.checkpoint[name + ".scales"] = owned(qh::kFloat16, {groups(), outputs}, scales);
    model.checkpoint[name + ".g_idx"] = owned(qh::kInt32, {inputs}, g_idx);
  }

  std::vector<float> dense() const {  // [outputs, inputs]
    const auto values = dequantize<cpu::Float16>(codes, zeros, scales, g_idx, outputs);
    std::vector<float> turned(values.size());
    for (std::int64_t k = 0; k < inputs; ++k)
      for (std::int64_t n = 0; n < outputs; ++n)
        turned[static_cast<std::size_t>(n * inputs + k)] =
            cpu::to_float(values[static_cast<std::size_t>(k * outputs + n)]);
    return turned;
  }

  // The same before it is rounded to the format's float16: what products are made of.
  std::vector<float> unrounded() const {
    std::vector<float> values;
    for (std::int64_t n = 0; n < outputs; ++n)
      for (std::int64_t k = 0; k < inputs; ++k) {
        const std::int64_t grid = g_idx[static_cast<std::size_t>(k)] * outputs + n;
        const int steps = codes[static_cast<std::size_t>(k * outputs + n)] -
                          zeros[static_cast<std::size_t>(grid)];
        values.push_back(cpu::to_float(scales[static_cast<std::size_t>(grid)]) *
                         static_cast<float>(steps));
      }
    return values;
  }
};

}  // namespace quanthost::gptq::testing
