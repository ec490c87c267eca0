#include "host/conformance/mock_model_service.hpp"

#include <string>
#include <string_view>

#include "host/base/error.hpp"
#include "host/conformance/mock_host.hpp"
#include "quanthost/plugin/error.hpp"

namespace quanthost::conformance {
namespace {

using qh::from_abi;
using qh::to_abi;

template <typename Body>
qh_status on(qh_model* handle, Body&& body) {
  return host_of(handle).serve([&] { body(MockModel::from(handle)); });
}

void emit(const qh_str_sink& out, std::string_view text) {
  if (out.emit(out.ctx, to_abi(text)) != QH_OK)
    fail(ErrorKind::kRuntime, "the plugin's sink refused an entry");
}

qh_module_desc describe_module(const MockModule& m) {
  const bool leaf = m.in_features > 0;
  return {sizeof(qh_module_desc),
          (leaf ? std::uint32_t{QH_MODULE_DESC_LEAF} : 0u) |
              (m.klass ? std::uint32_t{QH_MODULE_DESC_PLUGIN} : 0u),
          to_abi(m.name),
          m.klass ? m.table.name : to_abi(m.class_name),
          to_abi(m.parent),
          m.in_features,
          m.out_features,
          m.has_bias ? 1u : 0u,
          0};
}

MockModule& need_module(MockModel& model, qh_str name) {
  MockModule* module = model.find(from_abi(name));
  if (!module) fail(ErrorKind::kKey, "the model has no module '{}'", from_abi(name));
  return *module;
}

void emit_param(const qh_param_desc_sink& out, std::string_view name, const qh_tensor& tensor,
                bool is_buffer) {
  const qh_param_desc desc{sizeof(qh_param_desc), is_buffer ? 1u : 0u, to_abi(name), tensor, 0, 0};
  if (out.emit(out.ctx, &desc) != QH_OK)
    fail(ErrorKind::kRuntime, "the plugin's sink refused an entry");
}

void emit_module_params(const MockModule& module, const qh_param_desc_sink& out) {
  struct Call {
    const MockModule& module;
    const qh_param_desc_sink& out;
  } call{module, out};
  module.table.parameters(
      module.state,
      {&call, [](void* ctx, const qh_param_info* info) -> qh_status {
         auto& c = *static_cast<Call*>(ctx);
         const std::string name = c.module.name + "." + std::string(from_abi(info->name));
         std::vector<std::int64_t> shape(info->shape, info->shape + info->ndim);
         const qh_tensor view{
             nullptr, {QH_DEVICE_CPU, 0}, info->ndim, info->dtype, shape.data(), nullptr, 0};
         emit_param(c.out, name, view, info->is_buffer != 0);
         return QH_OK;
       }});
}

void emit_parameters(MockModel& model, const qh_param_desc_sink& out) {
  for (const MockModule& module : model.modules) {
    if (module.in_features == 0) continue;
    if (module.klass) {
      emit_module_params(module, out);
      continue;
    }
    for (const char* leaf : {".weight", ".bias"}) {
      const auto found = model.parameters.find(module.name + leaf);
      if (found == model.parameters.end()) continue;
      qh_tensor view = found->second.view();
      emit_param(out, found->first, view, false);
    }
  }
}

void emit_module(const MockModule& module, qh_module_desc_sink out) {
  const qh_module_desc desc = describe_module(module);
  if (out.emit(out.ctx, &desc) != QH_OK)
    fail(ErrorKind::kRuntime, "the plugin's sink refused an entry");
}

qh_status no_file(qh_model*, qh_str_sink) { return QH_OK; }

const qh_model_api kModel = {
    sizeof(qh_model_api),
    0,
    [](qh_model* m, qh_str_sink out) {
      return on(m, [&](MockModel&) {
        emit(
            out,
            R"({"architectures": ["MockForCausalLM"], "hidden_size": 128, "model_type": "mock", "torch_dtype": "float32"})");
      });
    },
    [](qh_model* m, qh_str_sink out) {
      return on(m, [&](MockModel&) { emit(out, "conformance-model"); });
    },
    [](qh_model* m, qh_str_sink out) { return on(m, [&](MockModel&) { emit(out, "input_ids"); }); },
    [](qh_model* m, qh_module_desc_sink out) {
      return on(m, [&](MockModel& model) {
        for (const MockModule& module : model.modules) emit_module(module, out);
      });
    },
    [](qh_model* m, qh_param_desc_sink out) {
      return on(m, [&](MockModel& model) { emit_parameters(model, out); });
    },
    [](qh_model* m, qh_str name, qh_module_desc_sink out) {
      return on(m, [&](MockModel& model) { emit_module(need_module(model, name), out); });
    },
    [](qh_model* m, qh_str name, qh_param_desc_sink out) {
      return on(m, [&](MockModel& model) {
        const auto found = model.parameters.find(std::string(from_abi(name)));
        if (found == model.parameters.end())
          fail(ErrorKind::kKey, "the model has no parameter '{}'", from_abi(name));
        emit_param(out, found->first, found->second.view(), false);
      });
    },
    no_file,  // no input embeddings
    [](qh_model* m, qh_str_sink out) { return on(m, [&](MockModel&) { emit(out, "lm_head"); }); },
    no_file,  // nothing has to stay in float32
    [](qh_model* m, qh_str_sink out) { return on(m, [&](MockModel&) { emit(out, "lm_head"); }); },
    [](qh_model* m, qh_str name, qh_str_list patterns, std::int32_t* out) {
      return on(m, [&](MockModel&) {
        *out = 0;
        for (std::uint64_t i = 0; i < patterns.count; ++i)
          if (from_abi(name).starts_with(from_abi(patterns.items[i]))) *out = 1;
      });
    },
    [](qh_model* m, qh_str name, qh_managed_tensor** out) {
      return on(m, [&](MockModel& model) {
        const auto found = model.parameters.find(std::string(from_abi(name)));
        if (found == model.parameters.end())
          fail(ErrorKind::kKey, "the model has no parameter '{}'", from_abi(name));
        *out = share_tensor(found->second.get(), found->second.view().dtype,
                            shape_of(found->second.view()));
      });
    },
    [](qh_model* m, qh_str name, qh_managed_tensor* value) {
      Owned owned(value);
      return on(m, [&](MockModel& model) {
        model.parameters[std::string(from_abi(name))] = std::move(owned);
      });
    },
    [](qh_model* m, qh_str name, const qh_module_class* klass, qh_module* state) {
      return on(m,
                [&](MockModel& model) { model.replace(need_module(model, name), klass, state); });
    },
    [](qh_model* m, qh_str name, const qh_module_class* klass, qh_module** out) {
      MockModule* module = MockModel::from(m).find(from_abi(name));
      if (!module || module->klass != klass)
        return on(m, [&](MockModel&) {
          fail(ErrorKind::kKey, "'{}' is no module of this class", from_abi(name));
        });
      *out = module->state;
      return static_cast<qh_status>(QH_OK);
    },
    [](qh_model* m, qh_str name, qh_managed_tensor* weight, qh_managed_tensor* bias) {
      Owned w(weight), b(bias);
      return on(m, [&](MockModel& model) {
        MockModule& module = need_module(model, name);
        model.replace(module, nullptr, nullptr);
        model.parameters[module.name + ".weight"] = std::move(w);
        if (b) model.parameters[module.name + ".bias"] = std::move(b);
      });
    },
    [](qh_model* m, qh_str name, qh_str json) {
      return on(m, [&](MockModel& model) {
        model.attributes[std::string(from_abi(name))] = from_abi(json);
      });
    },
    [](qh_model* m, qh_str name, qh_str_sink out) {
      return on(m, [&](MockModel& model) {
        const auto found = model.attributes.find(std::string(from_abi(name)));
        if (found != model.attributes.end()) emit(out, found->second);
      });
    }};

const Owned& need_stored(MockModel& model, qh_str name) {
  const auto found = model.checkpoint.find(std::string(from_abi(name)));
  if (found == model.checkpoint.end())
    fail(ErrorKind::kKey, "the checkpoint has no tensor '{}'", from_abi(name));
  return found->second;
}

const qh_checkpoint_api kCheckpoint = {
    sizeof(qh_checkpoint_api),
    0,
    [](qh_model* m, qh_str prefix, qh_str_sink out) {
      return on(m, [&](MockModel& model) {
        for (const auto& [name, tensor] : model.checkpoint)
          if (std::string_view(name).starts_with(from_abi(prefix))) emit(out, name);
      });
    },
    [](qh_model* m, qh_str name, qh_param_desc_sink out) {
      return on(m, [&](MockModel& model) {
        qh_tensor view = need_stored(model, name).view();
        view.data = nullptr;
        emit_param(out, from_abi(name), view, false);
      });
    },
    [](qh_model* m, const qh_exec*, qh_str name, qh_managed_tensor** out) {
      return on(m, [&](MockModel& model) {
        const Owned& stored = need_stored(model, name);
        Owned copy(make_tensor(stored.view().dtype, shape_of(stored.view())));
        copy_elements(stored.view(), copy.view());
        *out = copy.release();
      });
    },
    [](qh_model* m, qh_pair_sink out) {
      return on(m, [&](MockModel&) { out.emit(out.ctx, to_abi("format"), to_abi("pt")); });
    },
    [](qh_model* m, qh_str name, qh_str_sink out) {
      return on(m, [&](MockModel& model) {
        const auto found = model.files.find(std::string(from_abi(name)));
        if (found != model.files.end()) emit(out, found->second);
      });
    }};

}  // namespace

const qh_model_api& model_service() { return kModel; }
const qh_checkpoint_api& checkpoint_service() { return kCheckpoint; }

}  // namespace quanthost::conformance
