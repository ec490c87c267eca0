// Where a model that bitsandbytes' method quantized on a GPU differs from the CPU's, and why: the
// two rules are upstream's own, and every difference is one that they predict.
//
// FP4. CUDA's dQuantizeFP4 (csrc/kernels.cu) takes the sign bit from v < 0 and compares |v| with
// decimal constants, of which the smallest is 0.00260417. The CPU library sorts all sixteen codes
// by value and counts the midpoints below v; +0 (code 0) and -0 (code 8) are neighbours there, with
// their midpoint at 0. So for 0 < |v| <= 1/384 one side says 0 and the other 8. Both are zero when
// they are dequantized: outputs agree. (The other constants differ from the midpoints in the last
// bits, which a value has to hit, and negative ties go to the smaller magnitude on CUDA.)
//
// Double quantization. offset = mean(absmax) is summed in float32 in LibTorch's order on the CPU,
// in another one on each device: its last bits differ, and with it those of what is left. Then
// CUDA's dQuantize bisects to the nearest of the 256 values, while the CPU library rounds to one of
// 65536 even steps first and looks the step up, whose neighbours of zero (codes 124 to 130) lie
// between two steps and never occur.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/load/emulated_devices.hpp"

namespace quanthost {
namespace {

constexpr float kSmallestFp4Threshold = 1.0f / 384;
constexpr int kBlock = 64;
constexpr std::size_t kCodes = 256;

template <typename T>
std::vector<T> values_of(const at::Tensor& tensor) {
  const T* data = static_cast<const T*>(tensor.const_data_ptr());
  return {data, data + tensor.numel()};
}

class Bnb4Devices : public EmulatedDevices {
 protected:
  fs::path quantized_on(const std::string& device, const std::string& type, bool twice) {
    LoadOptions how = options(kGoldens / "llama");
    how.quantization =
        user_quantization("bitsandbytes_4bit",
                          {"bnb_4bit_quant_type=" + type,
                           std::string("bnb_4bit_use_double_quant=") + (twice ? "true" : "false")});
    how.device_map = parse_device_map(device, "cuda");
    LoadedModel loaded = load_model(plugins(), how);
    const fs::path to = folder_ / fmt::format("{}-{}-{}", device, type, twice);
    save_model(loaded, to);
    return to / "model.safetensors";
  }
  static std::vector<std::string> quantized_weights(const fs::path& file) {
    std::vector<std::string> out;
    const std::string end = ".absmax";
    const SafetensorsFile opened = SafetensorsFile::open(file);
    for (const TensorInfo& info : opened.tensors())
      if (info.name.ends_with(".weight" + end))
        out.push_back(info.name.substr(0, info.name.size() - end.size()));
    return out;
  }
  template <typename T>
  static std::vector<T> tensor(const fs::path& file, const std::string& name) {
    return values_of<T>(stored(file, name));
  }
  static float offset(const fs::path& file, const std::string& weight) {
    const auto text = tensor<std::uint8_t>(file, weight + ".quant_state.bitsandbytes__nf4");
    return parse_json(std::string(text.begin(), text.end()), "quant_state").at("nested_offset");
  }
};

TEST_F(Bnb4Devices, DifferInFp4InTheSignOfZeroAlone) {
  const fs::path here = quantized_on("cpu", "fp4", false);
  for (const char* device : {"emulated:0", "emulated:1"}) {
    const fs::path there = quantized_on(device, "fp4", false);
    int signs = 0;
    for (const std::string& weight : quantized_weights(here)) {
      const auto dense = tensor<float>(kGoldens / "llama/model.safetensors", weight);
      const auto scale = tensor<float>(here, weight + ".absmax");
      EXPECT_EQ(scale, tensor<float>(there, weight + ".absmax"));
      const auto a = tensor<std::uint8_t>(here, weight), b = tensor<std::uint8_t>(there, weight);
      for (std::size_t i = 0; i < dense.size(); ++i) {
        const int shift = i % 2 == 0 ? 4 : 0;  // the first of two is the high half
        const int cpu = a[i / 2] >> shift & 15, gpu = b[i / 2] >> shift & 15;
        const float v = dense[i] / scale[i / kBlock];
        if (v == 0 || std::abs(v) > kSmallestFp4Threshold) {
          EXPECT_EQ(cpu, gpu) << weight << " " << i;
          continue;
        }
        EXPECT_EQ(gpu, v < 0 ? 8 : 0) << weight << " " << i;
        EXPECT_EQ(cpu, v < 0 ? 0 : 8) << weight << " " << i;
        ++signs;
      }
    }
    EXPECT_GT(signs, 0) << "no weight is that near to zero: nothing was shown";
  }
}

// The code of the nearest value; of two at one distance either will do.
bool is_nearest(const std::vector<float>& map, float v, std::size_t code) {
  float best = std::numeric_limits<float>::infinity();
  for (const float value : map) best = std::min(best, std::abs(value - v));
  return std::abs(map[code] - v) <= best * (1 + 1e-6f);
}

// The nearest to the step that v rounds to, of 65536 from -1 to 1.
std::size_t code_of_step(const std::vector<float>& map, float v) {
  const float bounded = std::clamp(v, -1.0f, 1.0f);
  const auto step = static_cast<std::uint16_t>((bounded + 1) * 0.5f * 65535 + 0.5f);
  const float value = -1 + 2.0f * static_cast<float>(step) / 65535;
  std::size_t code = 0;
  while (code + 1 < kCodes && (map[code] + map[code + 1]) * 0.5f < value) ++code;
  return code;
}

TEST_F(Bnb4Devices, DifferInTheScalesOfScalesByOffsetAndRounding) {
  const fs::path plain = quantized_on("cpu", "nf4", false), here = quantized_on("cpu", "nf4", true);
  for (const char* device : {"emulated:0", "emulated:1"}) {
    const fs::path there = quantized_on(device, "nf4", true);
    for (const std::string& weight : quantized_weights(here)) {
      EXPECT_EQ(tensor<std::uint8_t>(here, weight), tensor<std::uint8_t>(there, weight));
      const auto scales = tensor<float>(plain, weight + ".absmax");
      const double mean =
          std::accumulate(scales.begin(), scales.end(), 0.0) / static_cast<double>(scales.size());
      const auto map = tensor<float>(here, weight + ".nested_quant_map");
      ASSERT_EQ(map, tensor<float>(there, weight + ".nested_quant_map"));
      for (const bool gpu : {false, true}) {
        const fs::path& file = gpu ? there : here;
        const float subtracted = offset(file, weight);
        EXPECT_NEAR(subtracted, mean, 3e-7 * mean) << "a few units in the last place";
        const auto codes = tensor<std::uint8_t>(file, weight + ".absmax");
        const auto nested = tensor<float>(file, weight + ".nested_absmax");
        ASSERT_EQ(codes.size(), scales.size());
        for (std::size_t i = 0; i < codes.size(); ++i) {
          const float v = (scales[i] - subtracted) * (1 / nested[i / kCodes]);
          if (gpu)
            EXPECT_TRUE(is_nearest(map, v, codes[i])) << weight << " " << i << ": " << v;
          else
            EXPECT_EQ(codes[i], code_of_step(map, v)) << weight << " " << i << ": " << v;
        }
      }
    }
  }
}

}  // namespace
}  // namespace quanthost
