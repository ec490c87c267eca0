// The GPU kernels on the emulator, with warps of 32 and of 64: the format's dense values, products
// within the CPU's bounds, and the CPU solver's codes.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <quanthost/abi/plugin.h>
#include <quanthost/kernel/emulated_stream.h>

#include <cstring>

#include "algorithm/solver.hpp"
#include "tests/folders.hpp"
#include "tests/gptq/random_weight.hpp"
#include "tests/quanto/serial_host.hpp"

namespace quanthost::gptq {
namespace {

using quanthost::testing::last_error;
using quanthost::testing::SerialExec;
using ::testing::HasSubstr;

// The provider, opened as a host opens it; lives as long as the process.
struct Provider {
  const qh_gptq_kernels* table = nullptr;
  qh_package* self = nullptr;

  Provider() {
    const std::string path = test::built_plugin("qh_gptq_emulated");
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
    const auto entry = reinterpret_cast<qh_plugin_entry_fn>(dlsym(library, QH_ENTRY_SYMBOL));
    static qh_accept accept{};
    accept.struct_size = sizeof(accept);
    qh_offer offer{};
    offer.struct_size = sizeof(offer);
    offer.abi_major = QH_ABI_MAJOR;
    offer.abi_minor_min = offer.abi_minor_max = QH_ABI_MINOR;
    offer.api = &quanthost::testing::serial_host_api();
    offer.plugin_path = qh::to_abi(path);
    if (entry(&offer, &accept) != QH_OK) return;
    const void* found = nullptr;
    accept.api->package(accept.plugin, qh::to_abi("auto_gptq"), qh::to_abi(QH_GPTQ_KERNELS_ID),
                        qh::to_abi("emulated"), &found, &self);
    table = static_cast<const qh_gptq_kernels*>(found);
  }
};

class GptqGpu : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  void SetUp() override {
    static const Provider opened;
    ASSERT_NE(opened.table, nullptr) << last_error.message;
    table = opened.table;
    self = opened.self;
    stream_.struct_size = sizeof(stream_);
    stream_.warp_size = GetParam();
    stream_.seed = 3;
    exec.abi.stream = &stream_;
  }
  void expect_ok(qh_status status) { ASSERT_EQ(status, QH_OK) << last_error.message; }

  const qh_gptq_kernels* table = nullptr;
  qh_package* self = nullptr;
  SerialExec exec;

 private:
  qh_emulated_stream stream_{};
};
INSTANTIATE_TEST_SUITE_P(Warp, GptqGpu, ::testing::Values(32u, 64u));

std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (int bits : {2, 3, 4, 8})
    for (bool act_order : {false, true})
      for (const Shape& s : {Shape{0, 96, 72, 32, false}, Shape{0, 45, 7, 16, false}})
        all.push_back({bits, s.inputs, s.outputs, s.group_size, act_order});
  return all;
}

template <typename T>
qh_gptq_product_args product_args(const std::vector<T>& in, const std::vector<T>* bias,
                                  std::vector<T>& out, std::int64_t batch) {
  return {sizeof(qh_gptq_product_args),
          kDtype<T>,
          in.data(),
          bias ? bias->data() : nullptr,
          out.data(),
          batch,
          kDtype<T>,
          0};
}

TEST_P(GptqGpu, DequantizesToTheFormatsBitsAlsoWithRowsSortedByGroup) {
  for (const Shape& shape : shapes()) {
    const RandomWeight<cpu::Float16> w(shape);
    std::vector<cpu::Float16> dense(w.dense.size());
    expect_ok(table->dequantize(self, &exec.abi, &w.abi, qh::kFloat16, dense.data()));
    EXPECT_EQ(std::memcmp(dense.data(), w.dense.data(), dense.size() * 2), 0) << shape.bits;

    std::vector<std::uint32_t> qweight(w.qweight.size());
    std::vector<std::int32_t> g_idx(w.g_idx.size()), order(w.g_idx.size());
    expect_ok(
        table->sort_rows(self, &exec.abi, &w.abi, qweight.data(), g_idx.data(), order.data()));
    EXPECT_TRUE(std::is_sorted(g_idx.begin(), g_idx.end()));
    qh_gptq_weight sorted = w.abi;
    sorted.qweight = qweight.data();
    sorted.g_idx = g_idx.data();
    sorted.input_order = order.data();
    std::fill(dense.begin(), dense.end(), cpu::Float16{0});
    expect_ok(table->dequantize(self, &exec.abi, &sorted, qh::kFloat16, dense.data()));
    EXPECT_EQ(std::memcmp(dense.data(), w.dense.data(), dense.size() * 2), 0) << shape.bits;
  }
}

template <typename T>
void check_products(const qh_gptq_kernels& table, qh_package* self, const qh_exec& exec,
                    const Shape& shape, double bound) {
  const RandomWeight<T> w(shape);
  for (std::int64_t batch : {1, 3, 37}) {
    SCOPED_TRACE(std::to_string(shape.bits) + " bits, batch " + std::to_string(batch));
    const auto x = random_floats<T>(batch * shape.inputs, 21);
    const auto bias = random_floats<T>(shape.outputs, 22);
    const auto g = random_floats<T>(batch * shape.outputs, 23);
    std::vector<T> y(g.size()), dx(x.size());
    const auto forward = product_args(x, &bias, y, batch);
    ASSERT_EQ(table.forward(self, &exec, &w.abi, &forward), QH_OK) << last_error.message;
    expect_product(w, x, bias, y, batch, bound);
    const auto backward = product_args<T>(g, nullptr, dx, batch);
    ASSERT_EQ(table.backward_input(self, &exec, &w.abi, &backward), QH_OK) << last_error.message;
    expect_gradient(w, g, dx, batch, bound);
  }
}

TEST_P(GptqGpu, MultipliesWithinTheCpusBounds) {
  for (const Shape& shape : shapes()) {
    check_products<float>(*table, self, exec.abi, shape, 1e-5);
    check_products<cpu::Float16>(*table, self, exec.abi, shape, 2e-3);
    check_products<cpu::BFloat16>(*table, self, exec.abi, shape, 1e-2);
  }
}

TEST_P(GptqGpu, MultipliesMoreInputsThanItStagesAtATime) {
  const RandomWeight<float> w({4, 1100, 33, 128, false});
  const auto x = random_floats<float>(2 * 1100, 21), bias = random_floats<float>(33, 22);
  std::vector<float> y(2 * 33);
  const auto args = product_args(x, &bias, y, 2);
  expect_ok(table->forward(self, &exec.abi, &w.abi, &args));
  expect_product(w, x, bias, y, 2, 1e-5);
}

// -- quantizing

void serial(std::int64_t count, const RangeBody& body) { body(0, count); }

TEST_P(GptqGpu, SumsTheCpusHessian) {
  constexpr std::int64_t kTokens = 50, kColumns = 70;
  const auto first = random_floats<cpu::BFloat16>(kTokens * kColumns, 41);
  const auto second = random_floats<cpu::BFloat16>(kTokens * kColumns, 42);
  Hessian cpu(kColumns);
  std::vector<float> found(kColumns * kColumns, NAN);  // keep 0 does not read it
  float samples = 0;
  for (const auto* batch : {&first, &second}) {
    std::vector<float> x;
    for (cpu::BFloat16 value : *batch) x.push_back(cpu::to_float(value));
    cpu.add(x, kTokens, 1, serial);
    expect_ok(table->add_to_hessian(self, &exec.abi, qh::kBfloat16, batch->data(), kTokens,
                                    kColumns, samples / (samples + 1), 2.0f / (samples + 1),
                                    found.data()));
    samples += 1;
  }
  const std::vector<float> expected = cpu.matrix();
  for (std::size_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(found[i], expected[i], 2e-5f * kTokens) << i;
}

struct Case {
  int bits;
  bool symmetric, desc_act, static_groups;
  std::int64_t group_size;
  float mse;
};

TEST_P(GptqGpu, SweepsToTheCpusCodes) {
  constexpr std::int64_t kRows = 9, kColumns = 200;
  Hessian hessian(kColumns);
  auto x = random_floats<float>(500 * kColumns, 51);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= static_cast<float>(1 + i % kColumns % 5);
  hessian.add(x, 500, 1, serial);
  const auto weight = random_floats<float>(kRows * kColumns, 52, 0.1f);
  for (const Case& c :
       {Case{4, false, false, false, 32, 0}, Case{3, true, true, false, 96, 0},
        Case{8, false, true, true, 64, 0}, Case{4, true, false, false, -1, 0},
        Case{2, false, false, true, 32, 2.4f}, Case{4, true, true, false, 128, 2.4f}}) {
    SCOPED_TRACE(c.bits);
    SolverOptions o;
    o.grid = {c.bits, c.symmetric, c.mse};
    o.group_size = c.group_size;
    o.desc_act = c.desc_act;
    o.static_groups = c.static_groups;
    const PreparedHessian prepared = prepare(hessian, o, serial);
    const QuantizedLayer expected = quantize_layer(weight, kRows, prepared, o, serial);

    const std::int64_t group_size = c.group_size == -1 ? kColumns : c.group_size;
    const bool fixed = c.static_groups || c.group_size == -1;
    std::vector<float> steps, scales(expected.scales.size()), losses(kRows);
    std::vector<std::uint8_t> zeros(scales.size()), codes(weight.size());
    std::vector<std::int32_t> group_of;
    for (std::int64_t i = 0; i < kColumns; ++i)
      group_of.push_back(
          expected.g_idx[static_cast<std::size_t>(prepared.order[static_cast<std::size_t>(i)])]);
    for (std::int64_t r = 0; r < kRows; ++r)
      for (std::int64_t column : prepared.order)
        steps.push_back(weight[static_cast<std::size_t>(r * kColumns + column)]);
    const qh_gptq_grid_options grid{sizeof(grid), c.bits, c.symmetric, c.mse};
    if (fixed)
      expect_ok(table->find_grids(self, &exec.abi, &grid, weight.data(), kRows, kColumns,
                                  group_size, scales.data(), zeros.data()));
    const qh_gptq_sweep_args args{sizeof(args),    fixed,         kRows,
                                  kColumns,        group_size,    expected.groups,
                                  &grid,           steps.data(),  prepared.upper.data(),
                                  group_of.data(), scales.data(), zeros.data(),
                                  codes.data(),    losses.data()};
    expect_ok(table->sweep(self, &exec.abi, &args));
    std::vector<std::uint8_t> natural(codes.size());
    for (std::size_t i = 0; i < codes.size(); ++i)
      natural[i / kColumns * kColumns + static_cast<std::size_t>(prepared.order[i % kColumns])] =
          codes[i];
    EXPECT_EQ(natural, expected.codes);
    EXPECT_EQ(scales, expected.scales);
    EXPECT_EQ(zeros, expected.zeros);
    double loss = 0;
    for (float row : losses) loss += row;
    EXPECT_NEAR(loss, expected.loss, 1e-4 * expected.loss);
  }
}

TEST_P(GptqGpu, RefusesWhatDoesNotFitAndSaysWhy) {
  const RandomWeight<float> w({4, 32, 32, 8, false});
  std::vector<float> out(32 * 32);
  qh_gptq_weight wrong = w.abi;
  wrong.bits = 5;
  EXPECT_EQ(table->dequantize(self, &exec.abi, &wrong, qh::kFloat32, out.data()), QH_ERR_VALUE);
  EXPECT_THAT(last_error.message, HasSubstr("5 bits cannot be packed"));
  wrong = w.abi;
  wrong.qweight = nullptr;
  EXPECT_EQ(table->dequantize(self, &exec.abi, &wrong, qh::kFloat32, out.data()), QH_ERR_VALUE);
  EXPECT_THAT(last_error.message, HasSubstr("qweight is missing"));
  std::vector<std::int32_t> g_idx(32, 9), order(32);
  std::vector<std::uint32_t> words(w.qweight.size());
  wrong = w.abi;
  wrong.g_idx = g_idx.data();
  EXPECT_EQ(table->sort_rows(self, &exec.abi, &wrong, words.data(), order.data(), order.data()),
            QH_ERR_VALUE);
  EXPECT_THAT(last_error.message, HasSubstr("g_idx[0] is 9"));
  qh_gptq_sweep_args sweep{};
  sweep.struct_size = sizeof(sweep);
  sweep.rows = sweep.columns = 4;
  EXPECT_EQ(table->sweep(self, &exec.abi, &sweep), QH_ERR_VALUE);
  EXPECT_THAT(last_error.message, HasSubstr("groups of 0"));
}

}  // namespace
}  // namespace quanthost::gptq
