// A whole quantize-on-load, and what may go wrong in the middle of it.
#include <cmath>
#include <limits>

#include "host/conformance/mock_load.hpp"
#include "quanthost/plugin/error.hpp"
#include "quanthost/plugin/tensor.hpp"

namespace quanthost::conformance {
namespace {

// The methods that quantize without calibration, which this suite can lead through a whole load.
template <typename Body>
void for_each_loadable(const Subject& subject, Body&& body) {
  int count = 0;
  for (const QuantizerSpec& spec : subject.manifest.quantizers) {
    if (spec.requires_calibration || !spec.requires_parameters_quantization) continue;
    ++count;
    body(spec);
  }
  if (count == 0) throw Skipped("no method of the plugin quantizes parameters while loading");
}

void loads_every_module(const Subject& subject) {
  for_each_loadable(subject, [&](const QuantizerSpec& spec) {
    for (const qh_dtype dtype : {qh::kFloat32, qh::kBfloat16, qh::kFloat16}) {
      MockHost host;
      MockLoad load(host, subject, spec, {.dtype = dtype});
      load.load();
      require(load.replaced().size() == 3, "it replaced {} of the 3 layers that it should",
              load.replaced().size());
      require(!load.model().find("lm_head")->klass,
              "it replaced the output head, which is skipped by default");
      for (MockModule* module : load.replaced()) {
        qh_module_info info{};
        info.struct_size = sizeof(info);
        require_ok(host, module->table.describe(module->state, &info), "describe()");
        require(info.loaded == 1, "'{}' says it is not loaded after everything was", module->name);
        require(
            info.in_features == module->in_features && info.out_features == module->out_features,
            "'{}' says {}→{} features, the layer had {}→{}", module->name, info.in_features,
            info.out_features, module->in_features, module->out_features);
      }
    }
  });
}

void does_not_depend_on_threads(const Subject& subject) {
  for_each_loadable(subject, [&](const QuantizerSpec& spec) {
    SavedModel first;
    for (std::uint32_t threads : {1u, 2u, 5u}) {
      MockHost host;
      MockLoad load(host, subject, spec, {.threads = threads, .dtype = qh::kFloat32});
      load.load();
      SavedModel saved = load.save();
      if (first.empty())
        first = std::move(saved);
      else
        require(saved == first, "the saved bytes with {} threads differ from those with one",
                threads);
    }
  });
}

void saves_what_it_loads(const Subject& subject) {
  for_each_loadable(subject, [&](const QuantizerSpec& spec) {
    MockHost host;
    MockLoad load(host, subject, spec, {.dtype = qh::kFloat32});
    load.load();
    std::int32_t serializable = 0;
    if (load.api().is_serializable) load.api().is_serializable(load.quantizer(), &serializable);
    if (!serializable) throw Skipped("the method says it is not serializable");
    const SavedModel saved = load.save();
    require(!saved.empty(), "the method is serializable but state_dict() emits nothing");

    MockHost second_host;
    MockLoad again(second_host, subject, spec, {.pre_quantized = true, .dtype = qh::kFloat32});
    for (const MockModule* module : load.replaced()) {
      again.model().checkpoint.erase(module->name + ".weight");
      again.model().checkpoint.erase(module->name + ".bias");
    }
    for (auto& [name, tensor] : load.saved_tensors())
      again.model().checkpoint[name] = std::move(tensor);
    again.load();
    const SavedModel resaved = again.save();
    for (const auto& [name, tensor] : saved) {
      const auto found = resaved.find(name);
      require(found != resaved.end(), "'{}' is saved, but not after it was loaded again", name);
      require(found->second.description == tensor.description, "'{}' was {} and came back as {}",
              name, tensor.description, found->second.description);
      require(found->second.bytes == tensor.bytes, "'{}' ({}) came back with other bytes", name,
              tensor.description);
    }
    require(resaved.size() == saved.size(), "{} tensors were saved, {} after loading them again",
            saved.size(), resaved.size());
  });
}

void survives_failing_allocations(const Subject& subject) {
  for_each_loadable(subject, [&](const QuantizerSpec& spec) {
    const std::int64_t before = live_tensors();
    bool finished = false;
    for (std::int64_t allowed = 0; allowed < 200 && !finished; allowed += 1 + allowed / 8) {
      MockHost host;
      MockLoad load(host, subject, spec, {.dtype = qh::kFloat32});
      host.allocations_left = allowed;
      qh_status status = load.before_load();
      if (status == QH_OK) status = load.stream_parameters();
      if (status == QH_OK) status = load.after_load();
      if (status == QH_OK)
        finished = true;
      else
        require_error(host, status, "a load whose memory ran out");
    }
    require(live_tensors() == before, "{} tensors were left after loads that ran out of memory",
            live_tensors() - before);
  });
}

void stops_when_cancelled(const Subject& subject) {
  for_each_loadable(subject, [&](const QuantizerSpec& spec) {
    const std::int64_t before = live_tensors();
    {
      MockHost host;
      MockLoad load(host, subject, spec, {.dtype = qh::kFloat32});
      require_ok(host, load.before_load(), "process_before_load()");
      host.cancelled = true;
      const qh_status status = load.stream_parameters();
      require(status == QH_OK || status == QH_ERR_CANCELLED, "a cancelled load returned status {}",
              status);
    }
    require(live_tensors() == before, "{} tensors were left after a cancelled load",
            live_tensors() - before);
  });
}

void survives_strange_weights(const Subject& subject) {
  for_each_loadable(subject, [&](const QuantizerSpec& spec) {
    const double strange[] = {0.0, std::numeric_limits<double>::infinity(),
                              std::numeric_limits<double>::quiet_NaN(), 1e-42, 3e38};
    for (double value : strange) {
      MockHost host;
      MockLoad load(host, subject, spec, {.dtype = qh::kFloat32});
      for (auto& [name, tensor] : load.model().checkpoint)
        for (std::int64_t i = 0; i < element_count(tensor.view()); i += 3)
          write_element(tensor.view(), i, value);
      qh_status status = load.before_load();
      if (status == QH_OK) status = load.stream_parameters();
      if (status != QH_OK) require_error(host, status, "loading strange weights");
    }
  });
}

void refuses_a_wrong_shape(const Subject& subject) {
  for_each_loadable(subject, [&](const QuantizerSpec& spec) {
    MockHost host;
    MockLoad load(host, subject, spec, {.dtype = qh::kFloat32});
    Owned wrong(make_tensor(qh::kFloat32, {5, 7}));
    for (std::int64_t i = 0; i < 35; ++i) write_element(wrong.view(), i, 1);
    load.model().checkpoint["model.layers.0.up_proj.weight"] = std::move(wrong);
    require_ok(host, load.before_load(), "process_before_load()");
    require_error(host, load.stream_parameters(), "loading a weight of the wrong shape");
  });
}

}  // namespace

const std::vector<Case> kLoadCases = {
    {"load.loads-every-module",
     "A dense model in float32, bfloat16 and float16 is quantized while it is loaded", "QH-P-30",
     loads_every_module},
    {"load.does-not-depend-on-threads", "The number of threads does not change a saved byte",
     "QH-P-31", does_not_depend_on_threads},
    {"load.saves-what-it-loads", "Save, load, save gives the same tensors, byte for byte",
     "QH-P-32", saves_what_it_loads},
    {"load.survives-failing-allocations",
     "Memory running out at any point gives a sentence and leaves nothing", "QH-P-33",
     survives_failing_allocations},
    {"load.stops-when-cancelled", "A cancelled load stops and leaves nothing", "QH-P-34",
     stops_when_cancelled},
    {"load.survives-strange-weights", "Zeros, infinities, NaN and denormals do no harm", "QH-P-35",
     survives_strange_weights},
    {"load.refuses-a-wrong-shape", "A weight of the wrong shape is refused with a sentence",
     "QH-P-36", refuses_a_wrong_shape},
};

}  // namespace quanthost::conformance
