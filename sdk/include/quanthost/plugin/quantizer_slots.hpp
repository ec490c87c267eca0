// The slots of qh_quantizer_api as calls of qh::Quantizer's virtuals. Included by quantizer.hpp.
#pragma once

#include <quanthost/plugin/quantizer.hpp>

namespace qh {
namespace detail {

inline Quantizer* unwrap(qh_quantizer* self) { return reinterpret_cast<Quantizer*>(self); }
inline qh_quantizer* wrap(Quantizer* self) { return reinterpret_cast<qh_quantizer*>(self); }

template <typename Body>
qh_status on_quantizer(qh_quantizer* self, Body&& body) noexcept {
  Quantizer* quantizer = unwrap(self);
  return quantizer->host().guard([&] { body(*quantizer); });
}

inline void emit_all(const std::vector<std::string>& strings, qh_str_sink out) {
  for (const std::string& s : strings) check(out.emit(out.ctx, to_abi(s)));
}

inline Environment convert(const qh_environment& e) {
  Environment out{(e.flags & QH_ENV_FROM_TF) != 0,
                  (e.flags & QH_ENV_FROM_FLAX) != 0,
                  (e.flags & QH_ENV_DEVICE_MAP_INFERRED) != 0,
                  std::nullopt,
                  e.torch_dtype,
                  to_strings(e.devices)};
  if (e.flags & QH_ENV_HAS_DEVICE_MAP) out.device_map = to_device_map(e.device_map);
  return out;
}

inline void fill_decision_slots(qh_quantizer_api& t) {
  t.validate_environment = [](qh_quantizer* self, const qh_environment* environment,
                              qh_diagnostic_sink out) {
    return on_quantizer(self, [&](Quantizer& q) {
      q.validate_environment(
          convert(copy_sized(environment)),
          [out](std::int32_t severity, std::string_view message, std::string_view hint) {
            check(out.emit(out.ctx, severity, to_abi(message), to_abi(hint)));
          });
    });
  };
  t.update_torch_dtype = [](qh_quantizer* self, qh_dtype requested, qh_dtype* out) {
    return on_quantizer(self, [&](Quantizer& q) { *out = q.update_torch_dtype(requested); });
  };
  t.update_device_map = [](qh_quantizer* self, std::int32_t has_map, qh_pair_list map,
                           qh_pair_sink out) {
    return on_quantizer(self, [&](Quantizer& q) {
      std::optional<DeviceMap> given;
      if (has_map) given = to_device_map(map);
      const std::optional<DeviceMap> result = q.update_device_map(std::move(given));
      if (!result) return;
      for (const auto& [module, device] : *result)
        check(out.emit(out.ctx, to_abi(module), to_abi(device)));
    });
  };
  t.adjust_target_dtype = [](qh_quantizer* self, qh_dtype dtype, qh_dtype* out) {
    return on_quantizer(self, [&](Quantizer& q) { *out = q.adjust_target_dtype(dtype); });
  };
  t.adjust_max_memory = [](qh_quantizer* self, const qh_memory_limit* limits, std::uint64_t count,
                           qh_memory_sink out) {
    return on_quantizer(self, [&](Quantizer& q) {
      MemoryLimits given;
      for (std::uint64_t i = 0; i < count; ++i)
        given.emplace_back(from_abi(limits[i].device), limits[i].bytes);
      for (const auto& [device, bytes] : q.adjust_max_memory(std::move(given)))
        check(out.emit(out.ctx, to_abi(device), bytes));
    });
  };
}

inline void fill_model_slots(qh_quantizer_api& t) {
  t.process_before_load = [](qh_quantizer* self, const qh_exec* exec, qh_model* model,
                             const qh_before_load_args* args) {
    return on_quantizer(self, [&](Quantizer& q) {
      const qh_before_load_args a = copy_sized(args);
      Model m(q.host(), model);
      q.process_before_load(Exec(q.host(), exec), m, to_device_map(a.device_map),
                            to_strings(a.keep_in_fp32_modules));
    });
  };
  t.update_missing_keys = [](qh_quantizer* self, qh_model* model, qh_str_list keys, qh_str prefix,
                             qh_str_sink out) {
    return on_quantizer(self, [&](Quantizer& q) {
      Model m(q.host(), model);
      emit_all(q.update_missing_keys(m, to_strings(keys), from_abi(prefix)), out);
    });
  };
  t.update_unexpected_keys = [](qh_quantizer* self, qh_model* model, qh_str_list keys,
                                qh_str prefix, qh_str_sink out) {
    return on_quantizer(self, [&](Quantizer& q) {
      Model m(q.host(), model);
      emit_all(q.update_unexpected_keys(m, to_strings(keys), from_abi(prefix)), out);
    });
  };
  t.update_expected_keys = [](qh_quantizer* self, qh_model* model, qh_str_list expected,
                              qh_str_list loaded, qh_str_sink out) {
    return on_quantizer(self, [&](Quantizer& q) {
      Model m(q.host(), model);
      emit_all(q.update_expected_keys(m, to_strings(expected), to_strings(loaded)), out);
    });
  };
  t.get_special_dtypes_update = [](qh_quantizer* self, qh_model* model, qh_dtype dtype,
                                   qh_dtype_sink out) {
    return on_quantizer(self, [&](Quantizer& q) {
      Model m(q.host(), model);
      for (const auto& [name, special] : q.get_special_dtypes_update(m, dtype))
        check(out.emit(out.ctx, to_abi(name), special));
    });
  };
  t.param_element_size = [](qh_quantizer* self, qh_model* model, qh_str name,
                            const qh_tensor* param, double* out) {
    return on_quantizer(self, [&](Quantizer& q) {
      Model m(q.host(), model);
      *out = q.param_element_size(m, from_abi(name), TensorView(*param));
    });
  };
}

inline void fill_param_slots(qh_quantizer_api& t) {
  t.check_quantized_param = [](qh_quantizer* self, qh_model* model, const qh_param_query* query,
                               std::int32_t* out) {
    return on_quantizer(self, [&](Quantizer& q) {
      const qh_param_query a = copy_sized(query);
      Model m(q.host(), model);
      *out = q.check_quantized_param(
          m, {from_abi(a.name), TensorView(*a.value), from_abi(a.param_device),
              to_device_map(a.device_map), (a.flags & QH_PARAM_MULTI_DEVICE) != 0});
    });
  };
  t.row_granularity = [](qh_quantizer* self, qh_model* model, qh_str name, std::int64_t* rows) {
    return on_quantizer(self, [&](Quantizer& q) {
      Model m(q.host(), model);
      *rows = q.row_granularity(m, from_abi(name));
    });
  };
  t.create_quantized_param = [](qh_quantizer* self, const qh_exec* exec, qh_model* model,
                                const qh_param_args* args) {
    const qh_param_args a = copy_sized(args);
    Tensor value(a.value);
    return on_quantizer(self, [&](Quantizer& q) {
      Model m(q.host(), model);
      q.create_quantized_param(Exec(q.host(), exec), m,
                               {from_abi(a.name), std::move(value), from_abi(a.target_device),
                                a.row_begin, a.row_count, a.total_rows, [&a](std::string_view key) {
                                  check(a.consumed_keys.emit(a.consumed_keys.ctx, to_abi(key)));
                                }});
    });
  };
}

inline void fill_finish_slots(qh_quantizer_api& t) {
  t.process_after_load = [](qh_quantizer* self, const qh_exec* exec, qh_model* model) {
    return on_quantizer(self, [&](Quantizer& q) {
      Model m(q.host(), model);
      q.process_after_load(Exec(q.host(), exec), m);
    });
  };
  t.is_serializable = [](qh_quantizer* self, std::int32_t* out) {
    return on_quantizer(self, [&](Quantizer& q) { *out = q.is_serializable(); });
  };
  t.is_trainable = [](qh_quantizer* self, std::int32_t* out) {
    return on_quantizer(self, [&](Quantizer& q) { *out = q.is_trainable(); });
  };
  t.is_compileable = [](qh_quantizer* self, std::int32_t* out) {
    return on_quantizer(self, [&](Quantizer& q) { *out = q.is_compileable(); });
  };
  t.is_qat_trainable = [](qh_quantizer* self, std::int32_t* out) {
    return on_quantizer(self, [&](Quantizer& q) { *out = q.is_qat_trainable(); });
  };
  t.dequantize = [](qh_quantizer* self, const qh_exec* exec, qh_model* model, qh_dtype dtype) {
    return on_quantizer(self, [&](Quantizer& q) {
      Model m(q.host(), model);
      q.dequantize(Exec(q.host(), exec), m, dtype);
    });
  };
  t.saved_config = [](qh_quantizer* self, qh_model* model, qh_str_sink json) {
    return on_quantizer(self, [&](Quantizer& q) {
      Model m(q.host(), model);
      const std::string text = q.saved_config(m);
      check(json.emit(json.ctx, to_abi(text)));
    });
  };
  t.saved_files = [](qh_quantizer* self, qh_model* model, qh_pair_sink files) {
    return on_quantizer(self, [&](Quantizer& q) {
      Model m(q.host(), model);
      for (const auto& [name, content] : q.saved_files(m))
        check(files.emit(files.ctx, to_abi(name), to_abi(content)));
    });
  };
}

}  // namespace detail

inline void fill_quantizer_slots(qh_quantizer_api& t) {
  t.destroy = [](qh_quantizer* self) { delete detail::unwrap(self); };
  detail::fill_decision_slots(t);
  detail::fill_model_slots(t);
  detail::fill_param_slots(t);
  detail::fill_finish_slots(t);
}

}  // namespace qh
