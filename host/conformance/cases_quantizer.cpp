// A quantizer's life outside of a whole load: creation, decisions, wrong order, wrong arguments.
#include <cmath>
#include <cstring>

#include "host/conformance/mock_load.hpp"
#include "quanthost/plugin/error.hpp"
#include "quanthost/plugin/tensor.hpp"

namespace quanthost::conformance {
namespace {

using qh::to_abi;

template <typename Body>
void for_each_method(const Subject& subject, Body&& body) {
  if (subject.manifest.quantizers.empty()) throw Skipped("the plugin provides no quantizer");
  for (const QuantizerSpec& spec : subject.manifest.quantizers) body(spec);
}

MockLoad::Options dense() { return {.dtype = qh::kFloat32}; }
MockLoad::Options pre_quantized_if_needed(const QuantizerSpec& spec) {
  MockLoad::Options options = dense();
  options.pre_quantized = spec.requires_calibration;
  return options;
}

void creates_and_destroys(const Subject& subject) {
  for_each_method(subject, [&](const QuantizerSpec& spec) {
    const std::int64_t before = live_tensors();
    for (int i = 0; i < 50; ++i) {
      MockHost host;
      MockLoad load(host, subject, spec, pre_quantized_if_needed(spec));
    }
    require(live_tensors() == before, "{} tensors were left after 50 quantizers of '{}'",
            live_tensors() - before, spec.method);
  });
}

void refuses_unusable_options(const Subject& subject) {
  for_each_method(subject, [&](const QuantizerSpec& spec) {
    for (std::int32_t type : {int{QH_CONFIG_NULL}, int{QH_CONFIG_JSON}, 77}) {
      MockHost host;
      host.packages = subject.packages;
      OpenedPlugin plugin(host, subject);
      const qh_quantizer_api api = plugin.quantizer(spec.method);
      const ConfigFields good(spec, {});
      std::vector<qh_config_field> fields = good.fields();
      for (qh_config_field& f : fields) {
        f.type = type;
        f.text = to_abi("{\"not\": [\"what\", ");
      }
      MockSession session{&host};
      const qh_create_args args{
          sizeof(qh_create_args), 0,           session.handle(), to_abi(spec.method), fields.data(),
          fields.size(),          to_abi("}{")};
      qh_quantizer* quantizer = nullptr;
      const qh_status status = api.create(plugin.handle(), &args, &quantizer);
      if (status == QH_OK)
        api.destroy(quantizer);
      else
        require_error(host, status, "create() with unusable options");
    }
  });
}

void decides_within_reason(const Subject& subject) {
  for_each_method(subject, [&](const QuantizerSpec& spec) {
    MockHost host;
    MockLoad load(host, subject, spec, pre_quantized_if_needed(spec));
    const qh_quantizer_api& api = load.api();
    qh_dtype dtype{};
    if (api.update_torch_dtype) {
      require_ok(host, api.update_torch_dtype(load.quantizer(), qh::kNoDtype, &dtype),
                 "update_torch_dtype()");
      require_ok(host, api.update_torch_dtype(load.quantizer(), qh::kBfloat16, &dtype),
                 "update_torch_dtype()");
      require(qh::is_floating(dtype), "asked for bfloat16, it chose {}", qh::name_of(dtype));
    }
    if (api.adjust_max_memory) {
      const qh_memory_limit limits[] = {{to_abi("cuda:0"), 1000}, {to_abi("cpu"), 100}};
      std::map<std::string, double> adjusted;
      require_ok(host,
                 api.adjust_max_memory(load.quantizer(), limits, 2,
                                       {&adjusted,
                                        [](void* ctx, qh_str device, double bytes) -> qh_status {
                                          (*static_cast<decltype(adjusted)*>(
                                              ctx))[std::string(qh::from_abi(device))] = bytes;
                                          return QH_OK;
                                        }}),
                 "adjust_max_memory()");
      for (const qh_memory_limit& limit : limits) {
        const auto found = adjusted.find(std::string(qh::from_abi(limit.device)));
        require(found != adjusted.end(), "adjust_max_memory() dropped {}",
                qh::from_abi(limit.device));
        require(found->second > 0 && found->second <= limit.bytes,
                "adjust_max_memory() made {} of {} bytes on {}", found->second, limit.bytes,
                qh::from_abi(limit.device));
      }
    }
    for (const auto slot :
         {api.is_serializable, api.is_trainable, api.is_compileable, api.is_qat_trainable}) {
      std::int32_t answer = 77;
      if (!slot) continue;
      require_ok(host, slot(load.quantizer(), &answer), "a fact such as is_serializable()");
      require(answer == 0 || answer == 1, "a fact has to be 0 or 1, found {}", answer);
    }
  });
}

void survives_calls_out_of_order(const Subject& subject) {
  for_each_method(subject, [&](const QuantizerSpec& spec) {
    for (int what = 0; what < 4; ++what) {
      MockHost host;
      MockLoad load(host, subject, spec, pre_quantized_if_needed(spec));
      qh_status status = QH_OK;
      if (what == 0) status = load.after_load();
      if (what == 1) status = load.stream_parameters();
      if (what == 2 && load.api().dequantize)
        status = load.api().dequantize(load.quantizer(), load.exec(), load.model().handle(),
                                       qh::kNoDtype);
      if (what == 3) {
        status = load.before_load();
        if (status == QH_OK) status = load.before_load();
      }
      if (status != QH_OK) require_error(host, status, "a call out of order");
    }
  });
}

void refuses_forward_before_loading(const Subject& subject) {
  for_each_method(subject, [&](const QuantizerSpec& spec) {
    MockHost host;
    MockLoad load(host, subject, spec, pre_quantized_if_needed(spec));
    if (load.before_load() != QH_OK)
      throw Skipped("process_before_load() needs more than this suite has");
    for (MockModule* module : load.replaced()) {
      const Owned x(make_tensor(qh::kFloat32, {2, module->in_features})),
          y(make_tensor(qh::kFloat32, {2, module->out_features}));
      for (std::int64_t i = 0; i < element_count(x.view()); ++i) write_element(x.view(), i, 1);
      require_error(host,
                    module->table.forward(module->state, load.exec(), &x.view(), 1, &y.view()),
                    "forward() of an empty module");
    }
  });
}

void refuses_unknown_parameters(const Subject& subject) {
  for_each_method(subject, [&](const QuantizerSpec& spec) {
    MockHost host;
    MockLoad load(host, subject, spec, pre_quantized_if_needed(spec));
    if (load.before_load() != QH_OK)
      throw Skipped("process_before_load() needs more than this suite has");
    const std::int64_t before = live_tensors();
    for (MockModule* module : load.replaced()) {
      if (module->table.set_param)
        require_error(
            host,
            module->table.set_param(module->state, load.exec(), to_abi("no_such_parameter"),
                                    make_tensor(qh::kFloat32, {3})),
            "set_param() with an unknown name");
      qh_managed_tensor* out = nullptr;
      if (module->table.get_param)
        require_error(
            host,
            module->table.get_param(module->state, load.exec(), to_abi("no_such_parameter"), &out),
            "get_param() with an unknown name");
      if (module->table.set_param)
        require_error(host,
                      module->table.set_param(module->state, load.exec(), to_abi("weight"),
                                              make_tensor(qh::kFloat32, {1, 2, 3})),
                      "set_param() with a wrong shape");
    }
    require(live_tensors() == before, "{} tensors handed over to a failing call were never freed",
            live_tensors() - before);
  });
}

}  // namespace

const std::vector<Case> kQuantizerCases = {
    {"quantizer.creates-and-destroys", "Fifty quantizers come and go and leave nothing", "QH-P-20",
     creates_and_destroys},
    {"quantizer.refuses-unusable-options",
     "Options of impossible types are refused with a sentence or ignored", "QH-P-21",
     refuses_unusable_options},
    {"quantizer.decides-within-reason",
     "Element types, memory limits and facts are ones the host can use", "QH-P-22",
     decides_within_reason},
    {"quantizer.survives-calls-out-of-order",
     "Calls in the wrong order fail with a sentence or do nothing", "QH-P-23",
     survives_calls_out_of_order},
    {"module.refuses-forward-before-loading", "A module without its weights refuses to compute",
     "QH-P-24", refuses_forward_before_loading},
    {"module.refuses-unknown-parameters",
     "Unknown names and wrong shapes are refused, and what was handed over is freed", "QH-P-25",
     refuses_unknown_parameters},
};

}  // namespace quanthost::conformance
