// The arithmetic of a quantized layer against a plain reference in double precision.
#include <cmath>
#include <random>

#include "host/conformance/mock_load.hpp"
#include "quanthost/plugin/error.hpp"
#include "quanthost/plugin/tensor.hpp"

namespace quanthost::conformance {
namespace {

Owned random_tensor(qh_dtype dtype, const std::vector<std::int64_t>& shape, std::uint64_t seed) {
  Owned tensor(make_tensor(dtype, shape));
  std::mt19937_64 engine(seed);
  for (std::int64_t i = 0, n = element_count(tensor.view()); i < n; ++i)
    write_element(tensor.view(), i, static_cast<double>(engine() >> 11) * 0x1p-52 - 1.0);
  return tensor;
}

std::vector<double> values_of(const qh_tensor& tensor) {
  std::vector<double> out(static_cast<std::size_t>(element_count(tensor)));
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = read_element(tensor, static_cast<std::int64_t>(i));
  return out;
}

// max |a - b| over max |b|
double relative_error(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = 0, largest = 1e-30;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) != std::isnan(b[i])) return INFINITY;
    worst = std::max(worst, std::fabs(a[i] - b[i]));
    largest = std::max(largest, std::fabs(b[i]));
  }
  return worst / largest;
}

std::vector<double> dense_forward(const std::vector<double>& x, const std::vector<double>& w,
                                  const std::vector<double>& bias, std::int64_t in,
                                  std::int64_t out) {
  const std::int64_t tokens = static_cast<std::int64_t>(x.size()) / in;
  std::vector<double> y(static_cast<std::size_t>(tokens * out));
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t o = 0; o < out; ++o) {
      double sum = bias.empty() ? 0 : bias[o];
      for (std::int64_t i = 0; i < in; ++i) sum += x[t * in + i] * w[o * in + i];
      y[t * out + o] = sum;
    }
  return y;
}

struct LoadedLayer {
  MockModule* module;
  std::vector<double> weight;  // what the module says its weight is
  std::vector<double> bias;
};

// Bodies get every quantized layer of every method, loaded from float32.
template <typename Body>
void for_each_layer(const Subject& subject, Body&& body) {
  int count = 0;
  for (const QuantizerSpec& spec : subject.manifest.quantizers) {
    if (spec.requires_calibration || !spec.requires_parameters_quantization) continue;
    MockHost host;
    MockLoad load(host, subject, spec, {.dtype = qh::kFloat32});
    load.load();
    for (MockModule* module : load.replaced()) {
      if (!module->table.dequantize)
        throw Skipped("the modules cannot be dequantized, so there is nothing to compare with");
      qh_managed_tensor* dense = nullptr;
      require_ok(host, module->table.dequantize(module->state, load.exec(), qh::kFloat32, &dense),
                 "dequantize()");
      const Owned weight(dense);
      require(shape_of(weight.view()) ==
                  std::vector<std::int64_t>{module->out_features, module->in_features},
              "the dequantized weight of '{}' is {}", module->name, describe(weight.view()));
      LoadedLayer layer{module, values_of(weight.view()), {}};
      if (module->has_bias)
        layer.bias = values_of(load.model().checkpoint.at(module->name + ".bias").view());
      ++count;
      body(host, load, layer);
    }
  }
  if (count == 0) throw Skipped("no method of the plugin quantizes parameters while loading");
}

void dequantizes_near_the_weight(const Subject& subject) {
  for_each_layer(subject, [&](MockHost&, MockLoad& load, const LoadedLayer& layer) {
    const std::vector<double> dense =
        values_of(load.model().checkpoint.at(layer.module->name + ".weight").view());
    double signal = 0, noise = 0;
    for (std::size_t i = 0; i < dense.size(); ++i) {
      signal += dense[i] * dense[i];
      noise += (dense[i] - layer.weight[i]) * (dense[i] - layer.weight[i]);
    }
    // 2 bits with one scale a row keep about 3 dB of a bell curve; less means that something is
    // misplaced.
    const double decibels = 10 * std::log10(signal / std::max(noise, 1e-300));
    require(decibels > 3, "'{}' keeps only {:.1f} dB of its weight", layer.module->name, decibels);
  });
}

struct Precision {
  qh_dtype dtype;
  double bound;
};
// A bfloat16 input may be multiplied in bfloat16; float32 is compared tightly unless the method
// computes in less.
constexpr Precision kPrecisions[] = {
    {qh::kFloat32, 2e-2}, {qh::kBfloat16, 3e-2}, {qh::kFloat16, 2e-2}};

void forward_multiplies_by_the_weight(const Subject& subject) {
  for_each_layer(subject, [&](MockHost& host, MockLoad& load, const LoadedLayer& layer) {
    MockModule& m = *layer.module;
    for (const Precision& precision : kPrecisions) {
      for (std::int64_t tokens : {1, 2, 3, 8, 17}) {
        const Owned x = random_tensor(precision.dtype, {tokens, m.in_features},
                                      subject.seed + static_cast<std::uint64_t>(tokens));
        const Owned y(make_tensor(precision.dtype, {tokens, m.out_features}));
        require_ok(host, m.table.forward(m.state, load.exec(), &x.view(), 1, &y.view()),
                   "forward()");
        const double error = relative_error(
            values_of(y.view()), dense_forward(values_of(x.view()), layer.weight, layer.bias,
                                               m.in_features, m.out_features));
        require(error <= precision.bound,
                "'{}' with {} tokens of {} is off by {:.3g} relative (bound {:.3g})", m.name,
                tokens, qh::name_of(precision.dtype), error, precision.bound);
      }
    }
  });
}

void takes_inputs_of_any_rank(const Subject& subject) {
  for_each_layer(subject, [&](MockHost& host, MockLoad& load, const LoadedLayer& layer) {
    MockModule& m = *layer.module;
    const Owned flat = random_tensor(qh::kFloat32, {6, m.in_features}, subject.seed);
    const Owned y_flat(make_tensor(qh::kFloat32, {6, m.out_features}));
    require_ok(host, m.table.forward(m.state, load.exec(), &flat.view(), 1, &y_flat.view()),
               "forward()");
    const Owned deep = random_tensor(qh::kFloat32, {2, 3, m.in_features}, subject.seed);
    const Owned y_deep(make_tensor(qh::kFloat32, {2, 3, m.out_features}));
    require_ok(host, m.table.forward(m.state, load.exec(), &deep.view(), 1, &y_deep.view()),
               "forward()");
    require(values_of(y_flat.view()) == values_of(y_deep.view()),
            "'{}' gives other values for [2, 3, k] than for [6, k]", m.name);
    const Owned none = random_tensor(qh::kFloat32, {0, m.in_features}, 1);
    const Owned y_none(make_tensor(qh::kFloat32, {0, m.out_features}));
    require_ok(host, m.table.forward(m.state, load.exec(), &none.view(), 1, &y_none.view()),
               "forward() of no tokens");
  });
}

void forward_is_repeatable(const Subject& subject) {
  for_each_layer(subject, [&](MockHost& host, MockLoad& load, const LoadedLayer& layer) {
    MockModule& m = *layer.module;
    const Owned x = random_tensor(qh::kFloat32, {5, m.in_features}, subject.seed);
    std::vector<double> first;
    for (std::uint32_t threads : {1u, 2u, 7u}) {
      const MockExec exec(host, threads);
      const Owned y(make_tensor(qh::kFloat32, {5, m.out_features}));
      require_ok(host, m.table.forward(m.state, exec.abi(), &x.view(), 1, &y.view()), "forward()");
      const std::vector<double> values = values_of(y.view());
      if (first.empty())
        first = values;
      else
        require(values == first, "'{}' gives other values on {} threads than on one", m.name,
                threads);
    }
    (void)load;
  });
}

void gradient_is_that_of_the_weight(const Subject& subject) {
  for_each_layer(subject, [&](MockHost& host, MockLoad& load, const LoadedLayer& layer) {
    MockModule& m = *layer.module;
    if (!m.table.backward_input) throw Skipped("the modules have no gradient");
    std::int32_t trainable = 0;
    if (load.api().is_trainable) load.api().is_trainable(load.quantizer(), &trainable);
    const Owned x = random_tensor(qh::kFloat32, {4, m.in_features}, subject.seed);
    const Owned grad = random_tensor(qh::kFloat32, {4, m.out_features}, subject.seed + 1);
    const Owned out(make_tensor(qh::kFloat32, {4, m.in_features}));
    const qh_status status =
        m.table.backward_input(m.state, load.exec(), &grad.view(), &x.view(), &out.view());
    if (!trainable && status != QH_OK) throw Skipped("the method is not trainable");
    require_ok(host, status, "backward_input()");
    const std::vector<double> g = values_of(grad.view());
    std::vector<double> expected(static_cast<std::size_t>(4 * m.in_features));
    for (std::int64_t t = 0; t < 4; ++t)
      for (std::int64_t o = 0; o < m.out_features; ++o)
        for (std::int64_t i = 0; i < m.in_features; ++i)
          expected[t * m.in_features + i] +=
              g[t * m.out_features + o] * layer.weight[o * m.in_features + i];
    const double error = relative_error(values_of(out.view()), expected);
    require(error <= 2e-2, "the gradient of '{}' is off by {:.3g} relative", m.name, error);
  });
}

void counts_its_memory(const Subject& subject) {
  for_each_layer(subject, [&](MockHost& host, MockLoad& load, const LoadedLayer& layer) {
    MockModule& m = *layer.module;
    if (!m.table.memory_bytes) throw Skipped("the modules leave counting to the host");
    qh_module_memory memory{};
    memory.struct_size = sizeof(memory);
    require_ok(host, m.table.memory_bytes(m.state, &memory), "memory_bytes()");
    const auto dense = static_cast<std::uint64_t>(m.in_features * m.out_features) * 4;
    require(memory.weight_bytes > 0 && memory.weight_bytes < dense,
            "'{}' says {} bytes of weight; float32 takes {}", m.name, memory.weight_bytes, dense);
    (void)load;
  });
}

}  // namespace

const std::vector<Case> kNumericCases = {
    {"numeric.dequantizes-near-the-weight",
     "A dequantized weight is near the one that was quantized", "QH-P-40",
     dequantizes_near_the_weight},
    {"numeric.forward-multiplies-by-the-weight",
     "forward() is the product with the dequantized weight, plus the bias", "QH-P-41",
     forward_multiplies_by_the_weight},
    {"numeric.takes-inputs-of-any-rank", "Inputs of any rank and of no tokens give the same values",
     "QH-P-42", takes_inputs_of_any_rank},
    {"numeric.forward-is-repeatable", "The number of threads does not change a computed value",
     "QH-P-43", forward_is_repeatable},
    {"numeric.gradient-is-that-of-the-weight",
     "backward_input() is the product with the weight's transpose", "QH-P-44",
     gradient_is_that_of_the_weight},
    {"numeric.counts-its-memory",
     "A module says how much memory it takes, and it is less than float32", "QH-P-45",
     counts_its_memory},
};

}  // namespace quanthost::conformance
