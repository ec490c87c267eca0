// The services that calibration needs, for the conformance suite's host: one block whose layers are
// given inputs of the test's making, a journal in memory, and plain linear algebra.
#pragma once

#include <quanthost/abi/original_inputs.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "host/conformance/mock_load.hpp"
#include "quanthost/plugin/error.hpp"
#include "quanthost/plugin/tensor.hpp"

namespace quanthost::gptq::testing {

using conformance::Owned;

// What the tables below work on: the state of the test that runs, one at a time.
struct FakeCalibration {
  std::vector<std::string> blocks{"model.layers.0"};
  std::map<std::string, std::vector<std::string>> layers{
      {"model.layers.0",
       {"model.layers.0.up_proj", "model.layers.0.gate_proj", "model.layers.0.down_proj"}}};
  std::uint64_t batches = 4;
  // [tokens, in_features] for a layer and a batch.
  std::function<Owned(const std::string& layer, std::uint64_t batch)> input;
  // The same in the original model; none: the layer is given other tokens there.
  std::function<Owned(const std::string& layer, std::uint64_t batch)> original;
  bool keeps_original = false;
  std::function<void(std::uint64_t block, std::vector<std::string> layers)> on_run;
  std::map<std::string, std::vector<unsigned char>> journal;
  std::string dataset;
  std::uint64_t sample_count = 0, sequence_length = 0;
  std::vector<std::uint64_t> advanced;
  int open_runs = 0;

  static FakeCalibration*& current() {
    static FakeCalibration* fake = nullptr;
    return fake;
  }
  FakeCalibration() { current() = this; }
  ~FakeCalibration() { current() = nullptr; }
};

inline std::vector<float> floats(const qh_tensor& tensor) {
  std::vector<float> out(static_cast<std::size_t>(conformance::element_count(tensor)));
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<float>(conformance::read_element(tensor, static_cast<std::int64_t>(i)));
  return out;
}

inline const qh_calibration_api& fake_calibration_api() {
  using F = FakeCalibration;
  static const qh_calibration_api table = {
      sizeof(qh_calibration_api),
      0,
      [](qh_session*, qh_model*, const qh_calibration_args* args, qh_calibration** out) {
        F& fake = *F::current();
        fake.dataset = qh::from_abi(args->dataset_json);
        fake.sample_count = args->sample_count;
        fake.sequence_length = args->sequence_length;
        ++fake.open_runs;
        *out = reinterpret_cast<qh_calibration*>(&fake);
        return qh_status{QH_OK};
      },
      [](qh_calibration*) { --F::current()->open_runs; },
      [](qh_calibration*, std::uint64_t* out) {
        *out = F::current()->blocks.size();
        return qh_status{QH_OK};
      },
      [](qh_calibration*, std::uint64_t block, qh_str_sink out) {
        return out.emit(out.ctx, qh::to_abi(F::current()->blocks.at(block)));
      },
      [](qh_calibration*, std::uint64_t block, qh_str_sink out) {
        F& fake = *F::current();
        for (const std::string& layer : fake.layers.at(fake.blocks.at(block)))
          out.emit(out.ctx, qh::to_abi(layer));
        return qh_status{QH_OK};
      },
      [](qh_calibration*, const qh_exec*, std::uint64_t block, qh_str_list layers,
         qh_layer_input_fn on_input, void* arg) {
        F& fake = *F::current();
        std::vector<std::string> names;
        for (std::uint64_t i = 0; i < layers.count; ++i)
          names.emplace_back(qh::from_abi(layers.items[i]));
        if (fake.on_run) fake.on_run(block, names);
        for (std::uint64_t batch = 0; batch < fake.batches; ++batch)
          for (const std::string& name : names) {
            const Owned x = fake.input(name, batch);
            if (!x) continue;  // the batch does not reach this layer
            if (const qh_status s = on_input(arg, qh::to_abi(name), &x.view(), batch, 1);
                s != QH_OK)
              return s;
          }
        return qh_status{QH_OK};
      },
      [](qh_calibration*, const qh_exec*, std::uint64_t block) {
        F::current()->advanced.push_back(block);
        return qh_status{QH_OK};
      },
      [](qh_calibration*, qh_str key, const qh_tensor* value) {
        const auto* data = static_cast<const unsigned char*>(conformance::data_of(*value));
        F::current()->journal[std::string(qh::from_abi(key))] = {
            data, data + conformance::byte_count(*value)};
        return qh_status{QH_OK};
      },
      [](qh_calibration*, const qh_exec*, qh_str key, qh_tensor_sink out) {
        const auto found = F::current()->journal.find(std::string(qh::from_abi(key)));
        if (found == F::current()->journal.end()) return qh_status{QH_OK};
        const auto count = static_cast<std::int64_t>(found->second.size());
        qh_managed_tensor* tensor = conformance::make_tensor(qh::kUint8, {count});
        std::copy(found->second.begin(), found->second.end(),
                  static_cast<unsigned char*>(conformance::data_of(tensor->tensor)));
        return out.emit(out.ctx, key, tensor);
      }};
  return table;
}

inline const qh_original_inputs_api& fake_original_inputs_api() {
  using F = FakeCalibration;
  static const qh_original_inputs_api table = {
      sizeof(qh_original_inputs_api), 0,
      [](qh_calibration*) {
        F::current()->keeps_original = true;
        return qh_status{QH_OK};
      },
      [](qh_calibration* run, const qh_exec* exec, std::uint64_t block, qh_str_list layers,
         qh_layer_inputs_fn on_inputs, void* arg) {
        if (!F::current()->keeps_original) return qh_status{QH_ERR_RUNTIME};
        struct Call {
          qh_layer_inputs_fn on_inputs;
          void* arg;
        } call{on_inputs, arg};
        const qh_layer_input_fn both = [](void* to, qh_str layer, const qh_tensor* input,
                                          std::uint64_t batch, std::uint64_t samples) {
          const auto& given = *static_cast<Call*>(to);
          const Owned original = F::current()->original(std::string(qh::from_abi(layer)), batch);
          return given.on_inputs(given.arg, layer, input, original ? &original.view() : nullptr,
                                 batch, samples);
        };
        return fake_calibration_api().run_block(run, exec, block, layers, both, &call);
      }};
  return table;
}

inline const qh_linalg_api& plain_linalg_api() {
  static const qh_linalg_api table = [] {
    qh_linalg_api t{};
    t.struct_size = sizeof t;
    t.matmul = [](const qh_exec*, std::uint32_t flags, double alpha, const qh_tensor* a,
                  const qh_tensor* b, double beta, const qh_tensor* c) {
      const std::vector<float> left = floats(*a), right = floats(*b), old = floats(*c);
      const bool turned = flags & QH_LINALG_TRANSPOSE_A;
      const std::int64_t n = a->shape[turned], k = a->shape[!turned], m = b->shape[1];
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < m; ++j) {
          double sum = 0;
          for (std::int64_t p = 0; p < k; ++p)
            sum += static_cast<double>(
                       left[static_cast<std::size_t>(turned ? p * n + i : i * k + p)]) *
                   right[static_cast<std::size_t>(p * m + j)];
          const double before = beta == 0 ? 0 : beta * old[static_cast<std::size_t>(i * m + j)];
          conformance::write_element(*c, i * m + j, alpha * sum + before);
        }
      return qh_status{QH_OK};
    };
    t.syrk = [](const qh_exec*, std::uint32_t, double alpha, const qh_tensor* a, double beta,
                const qh_tensor* c) {
      const std::vector<float> x = floats(*a), old = floats(*c);
      const std::int64_t tokens = a->shape[0], n = a->shape[1];
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < n; ++j) {
          double sum = 0;
          for (std::int64_t p = 0; p < tokens; ++p)
            sum += static_cast<double>(x[static_cast<std::size_t>(p * n + i)]) *
                   x[static_cast<std::size_t>(p * n + j)];
          const double before = beta == 0 ? 0 : beta * old[static_cast<std::size_t>(i * n + j)];
          conformance::write_element(*c, i * n + j, alpha * sum + before);
        }
      return qh_status{QH_OK};
    };
    return t;
  }();
  return table;
}

// The conformance suite's services with these in the place of none.
inline const void* service_of_test(std::string_view id) {
  if (id == QH_CALIBRATION_ID) return &fake_calibration_api();
  if (id == QH_ORIGINAL_INPUTS_ID) return &fake_original_inputs_api();
  if (id == QH_LINALG_ID) return &plain_linalg_api();
  return conformance::find_service(id);
}

}  // namespace quanthost::gptq::testing
