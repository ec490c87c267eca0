// The GPU package on the emulator, with warps of 32 and 64 lanes: the same bytes as the CPU
// package.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <quanthost/kernel/emulated_stream.h>

#include <cmath>
#include <quanthost/cpu/formats.hpp>
#include <random>

#include "package/cpu_package.hpp"
#include "tests/folders.hpp"
#include "tests/quanto/serial_host.hpp"

namespace quanthost::quanto {
namespace {

using quanthost::testing::last_error;
using quanthost::testing::serial_host_api;
using quanthost::testing::SerialExec;
using quanthost::testing::TestTensor;

// The emulated provider's table, through the one symbol that it exports.
struct Provider {
  const qh_quanto_kernels* table = nullptr;
  qh_package* self = nullptr;

  Provider() {
    const std::string path = test::built_plugin("qh_quanto_kernels_emulated");
    void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) throw std::runtime_error(::dlerror());
    const auto entry = reinterpret_cast<qh_plugin_entry_fn>(::dlsym(library, QH_ENTRY_SYMBOL));
    const qh_offer offer{sizeof(offer), QH_ABI_MAJOR,       QH_ABI_MINOR,       QH_ABI_MINOR,
                         nullptr,       &serial_host_api(), qh::to_abi("test"), qh::to_abi(path)};
    accept = {sizeof(accept), 0, nullptr, nullptr};
    const void* found = nullptr;
    if (entry(&offer, &accept) != QH_OK ||
        accept.api->package(accept.plugin, qh::to_abi("quanto"), qh::to_abi(QH_QUANTO_KERNELS_ID),
                            qh::to_abi("emulated"), &found, &self) != QH_OK)
      throw std::runtime_error(last_error.message);
    table = static_cast<const qh_quanto_kernels*>(found);
  }
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;
  ~Provider() { accept.api->shutdown(accept.plugin); }

 private:
  qh_accept accept{};
};
const Provider& provider() {
  static const Provider instance;
  return instance;
}

struct Case {
  std::int32_t qtype;
  std::int64_t rows, columns, group;
};
constexpr Case kCases[] = {{QH_QUANTO_INT2, 12, 64, 32},
                           {QH_QUANTO_INT2, 7, 33, 0},
                           {QH_QUANTO_INT4, 16, 128, 64},
                           {QH_QUANTO_INT4, 5, 40, 0},
                           {QH_QUANTO_INT8, 9, 70, 0},
                           {QH_QUANTO_FLOAT8_E4M3FN, 6, 50, 0},
                           {QH_QUANTO_FLOAT8_E4M3FNUZ, 6, 50, 0},
                           {QH_QUANTO_FLOAT8_E5M2, 6, 50, 0}};

std::vector<std::uint16_t> random_words(std::int64_t count, bool bf16) {
  std::mt19937 engine(11);
  std::normal_distribution<float> normal;
  std::vector<std::uint16_t> out;
  for (std::int64_t i = 0; i < count; ++i) {
    const float v = i % 50 == 49 ? 0.0f : normal(engine);
    out.push_back(bf16 ? cpu::from_float<cpu::BFloat16>(v).bits
                       : cpu::from_float<cpu::Float16>(v).bits);
  }
  return out;
}

// A weight with memory of its own.
struct Sample {
  TestTensor<std::uint8_t> data;
  TestTensor<std::uint16_t> scale, shift;
  qh_quanto_weight abi;

  Sample(const Case& c, qh_dtype dtype, const qh_quanto_layout& layout)
      : data(data_dtype(static_cast<QType>(c.qtype)), {layout.data_shape[0], layout.data_shape[1]}),
        scale(dtype, {layout.scale_shape[0], layout.scale_shape[1]}),
        shift(dtype, {layout.scale_shape[0], layout.scale_shape[1]}),
        abi{sizeof(abi), c.qtype,
            0,           0,
            c.group,     c.rows,
            c.columns,   &data.abi,
            &scale.abi,  c.qtype <= QH_QUANTO_INT4 ? &shift.abi : nullptr} {}
};

class Emulated : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  CpuPackage package{quanthost::testing::serial_host(), kernels_for(cpu::best_isa())};
  qh_package* cpu_self = reinterpret_cast<qh_package*>(&package);
  const qh_quanto_kernels& cpu = cpu_package_table();
  const qh_quanto_kernels& gpu = *provider().table;
  qh_package* gpu_self = provider().self;
  SerialExec cpu_exec;
  qh_emulated_stream stream{sizeof(stream), GetParam(), 7, 1, 0, nullptr, nullptr};
  SerialExec gpu_exec;

  void SetUp() override {
    gpu_exec.abi.stream = &stream;
    gpu_exec.abi.device_name = qh::to_abi("emulated:0");
  }
  qh_quanto_layout layout_of_case(const Case& c) {
    const qh_quanto_weight w{sizeof(w), c.qtype,   0,       0,       c.group,
                             c.rows,    c.columns, nullptr, nullptr, nullptr};
    qh_quanto_layout layout{sizeof(layout), 0, {}, {}};
    EXPECT_EQ(gpu.layout(gpu_self, &w, &layout), QH_OK) << last_error.message;
    return layout;
  }
};

TEST_P(Emulated, QuantizesAndDequantizesToTheCpusBytes) {
  for (const Case& c : kCases)
    for (bool bf16 : {false, true}) {
      const qh_dtype dtype = bf16 ? qh::kBfloat16 : qh::kFloat16;
      TestTensor<std::uint16_t> base(dtype, {c.rows, c.columns},
                                     random_words(c.rows * c.columns, bf16));
      TestTensor<std::uint16_t> expected(dtype, {c.rows, c.columns}),
          found(dtype, {c.rows, c.columns});
      Sample a(c, dtype, layout_of_case(c)), b(c, dtype, layout_of_case(c));
      ASSERT_EQ(cpu.quantize(cpu_self, &cpu_exec.abi, &base.abi, 0, &a.abi), QH_OK)
          << last_error.message;
      ASSERT_EQ(gpu.quantize(gpu_self, &gpu_exec.abi, &base.abi, 0, &b.abi), QH_OK)
          << last_error.message;
      EXPECT_EQ(b.data.values, a.data.values) << c.qtype;
      EXPECT_EQ(b.scale.values, a.scale.values) << c.qtype;
      EXPECT_EQ(b.shift.values, a.shift.values) << c.qtype;
      ASSERT_EQ(cpu.dequantize(cpu_self, &cpu_exec.abi, &a.abi, &expected.abi), QH_OK);
      ASSERT_EQ(gpu.dequantize(gpu_self, &gpu_exec.abi, &b.abi, &found.abi), QH_OK)
          << last_error.message;
      EXPECT_EQ(found.values, expected.values) << c.qtype;
    }
}

TEST_P(Emulated, MultipliesForwardAndBackAsTheCpu) {
  for (const Case& c : kCases)
    for (std::int64_t tokens : {1, 6}) {
      TestTensor<std::uint16_t> base(qh::kBfloat16, {c.rows, c.columns},
                                     random_words(c.rows * c.columns, true));
      Sample w(c, qh::kBfloat16, layout_of_case(c));
      ASSERT_EQ(cpu.quantize(cpu_self, &cpu_exec.abi, &base.abi, 0, &w.abi), QH_OK);
      TestTensor<float> x(qh::kFloat32, {tokens, c.columns}), grad(qh::kFloat32, {tokens, c.rows}),
          bias(qh::kFloat32, {c.rows});
      for (TestTensor<float>* t : {&x, &grad, &bias})
        for (std::size_t i = 0; i < t->values.size(); ++i)
          t->values[i] = std::sin(static_cast<float>(i));
      TestTensor<float> y1(qh::kFloat32, {tokens, c.rows}), y2(qh::kFloat32, {tokens, c.rows}),
          g1(qh::kFloat32, {tokens, c.columns}), g2(qh::kFloat32, {tokens, c.columns});
      ASSERT_EQ(cpu.linear(cpu_self, &cpu_exec.abi, &x.abi, &w.abi, &bias.abi, &y1.abi), QH_OK)
          << last_error.message;
      ASSERT_EQ(gpu.linear(gpu_self, &gpu_exec.abi, &x.abi, &w.abi, &bias.abi, &y2.abi), QH_OK)
          << last_error.message;
      ASSERT_EQ(cpu.backward_input(cpu_self, &cpu_exec.abi, &grad.abi, &w.abi, &g1.abi), QH_OK);
      ASSERT_EQ(gpu.backward_input(gpu_self, &gpu_exec.abi, &grad.abi, &w.abi, &g2.abi), QH_OK)
          << last_error.message;
      // Codes that skip dequantization's rounding differ by half a step of the weight's bfloat16
      // for each product.
      for (std::size_t i = 0; i < y1.values.size(); ++i)
        EXPECT_NEAR(y2.values[i], y1.values[i], 0.15) << c.qtype;
      for (std::size_t i = 0; i < g1.values.size(); ++i)
        EXPECT_NEAR(g2.values[i], g1.values[i], 0.05) << c.qtype;
    }
}

TEST_P(Emulated, SumsInt8ByInt8ToTheCpusBytes) {
  const Case c{QH_QUANTO_INT8, 9, 70, 0};
  TestTensor<std::uint16_t> base(qh::kBfloat16, {9, 70}, random_words(9 * 70, true));
  Sample w(c, qh::kBfloat16, layout_of_case(c));
  ASSERT_EQ(cpu.quantize(cpu_self, &cpu_exec.abi, &base.abi, 0, &w.abi), QH_OK);
  TestTensor<std::int8_t> x(qh::kInt8, {3, 70});
  for (std::size_t i = 0; i < x.values.size(); ++i)
    x.values[i] = static_cast<std::int8_t>(i * 37 % 256 - 128);
  TestTensor<std::uint16_t> expected(qh::kBfloat16, {3, 9}), found(qh::kBfloat16, {3, 9});
  ASSERT_EQ(
      cpu.linear_quantized(cpu_self, &cpu_exec.abi, &x.abi, 0.02f, &w.abi, nullptr, &expected.abi),
      QH_OK);
  ASSERT_EQ(
      gpu.linear_quantized(gpu_self, &gpu_exec.abi, &x.abi, 0.02f, &w.abi, nullptr, &found.abi),
      QH_OK)
      << last_error.message;
  EXPECT_EQ(found.values, expected.values);
}

TEST_P(Emulated, FindsTheLargestMagnitudeAndOneScaleForATensor) {
  TestTensor<float> x(qh::kFloat32, {5, 300});
  for (std::size_t i = 0; i < x.values.size(); ++i)
    x.values[i] = std::sin(static_cast<float>(i)) * 3.0f;
  x.values[777] = -12.7f;
  float found = 0;
  ASSERT_EQ(gpu.absmax(gpu_self, &gpu_exec.abi, &x.abi, &found), QH_OK) << last_error.message;
  EXPECT_EQ(found, 12.7f);
  TestTensor<std::uint8_t> a(qh::kInt8, {5, 300}), b(qh::kInt8, {5, 300});
  TestTensor<float> scale_a(qh::kFloat32, {}), scale_b(qh::kFloat32, {});
  qh_quanto_weight w{sizeof(w), QH_QUANTO_INT8, QH_QUANTO_PER_TENSOR, 0,      0, 5,
                     300,       &a.abi,         &scale_a.abi,         nullptr};
  ASSERT_EQ(cpu.quantize(cpu_self, &cpu_exec.abi, &x.abi, 0, &w), QH_OK);
  w.data = &b.abi;
  w.scale = &scale_b.abi;
  ASSERT_EQ(gpu.quantize(gpu_self, &gpu_exec.abi, &x.abi, 0, &w), QH_OK) << last_error.message;
  EXPECT_EQ(b.values, a.values);
  EXPECT_EQ(scale_b.values, scale_a.values);
}

TEST_P(Emulated, SaysWhatItLeavesToTheCpu) {
  TestTensor<float> x(qh::kFloat32, {4, 8});
  TestTensor<std::uint8_t> data(qh::kInt8, {4, 8});
  TestTensor<float> scale(qh::kFloat32, {1, 8});
  const qh_quanto_weight w{sizeof(w), QH_QUANTO_INT8, QH_QUANTO_AXIS_LAST, 0,      0, 4,
                           8,         &data.abi,      &scale.abi,          nullptr};
  EXPECT_EQ(gpu.quantize(gpu_self, &gpu_exec.abi, &x.abi, 0, &w), QH_ERR_NOT_IMPLEMENTED);
  EXPECT_EQ(last_error.message, "on emulated weights are quantized along axis 0 only");
}

INSTANTIATE_TEST_SUITE_P(Warp, Emulated, ::testing::Values(32u, 64u),
                         [](const auto& lanes) { return std::to_string(lanes.param); });

}  // namespace
}  // namespace quanthost::quanto
