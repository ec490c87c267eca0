#include "host/plugins/table_defaults.hpp"

#include "host/base/call_error.hpp"

namespace quanthost {
namespace {

qh_status not_supported(qh_status kind, std::string_view message) {
  leave_call_error(static_cast<ErrorKind>(kind), message, {});
  return kind;
}

qh_status emit_all(qh_str_list keys, qh_str_sink out) {
  for (std::uint64_t i = 0; i < keys.count; ++i) {
    if (const qh_status status = out.emit(out.ctx, keys.items[i]); status != QH_OK) return status;
  }
  return QH_OK;
}

template <typename Slot>
void fill(Slot& slot, Slot fallback) {
  if (!slot) slot = fallback;
}

template <typename Slot>
void require(const Slot& slot, std::string_view plugin_id, const char* name) {
  if (slot) return;
  throw Error(ErrorKind::kRuntime,
              fmt::format("{}: its table has no '{}', which every plugin needs", plugin_id, name),
              "tell the plugin's author");
}

template <typename T>
T checked_copy(const T* theirs, std::string_view plugin_id, const char* what) {
  constexpr std::uint32_t kMaxBytes = 64 * 1024;
  if (!theirs) fail(ErrorKind::kRuntime, "{}: gave no {} table", plugin_id, what);
  if (theirs->struct_size < 2 * sizeof(std::uint32_t) || theirs->struct_size > kMaxBytes) {
    fail(ErrorKind::kRuntime, "{}: its {} table says it has {} bytes, which cannot be", plugin_id,
         what, theirs->struct_size);
  }
  return copy_sized(theirs);
}

qh_status no_fact(qh_quantizer*, int32_t* out) {
  *out = 0;
  return QH_OK;
}

void fill_decisions(qh_quantizer_api& t) {
  fill(
      t.validate_environment,
      +[](qh_quantizer*, const qh_environment*, qh_diagnostic_sink) -> qh_status { return QH_OK; });
  fill(
      t.update_torch_dtype, +[](qh_quantizer*, qh_dtype requested, qh_dtype* out) -> qh_status {
        *out = requested;
        return QH_OK;
      });
  fill(
      t.update_device_map,
      +[](qh_quantizer*, int32_t, qh_pair_list, qh_pair_sink) -> qh_status { return QH_OK; });
  fill(
      t.adjust_target_dtype, +[](qh_quantizer*, qh_dtype dtype, qh_dtype* out) -> qh_status {
        *out = dtype;
        return QH_OK;
      });
  fill(
      t.adjust_max_memory,
      +[](qh_quantizer*, const qh_memory_limit* limits, uint64_t count,
          qh_memory_sink out) -> qh_status {
        for (uint64_t i = 0; i < count; ++i) {
          const qh_status status = out.emit(out.ctx, limits[i].device, limits[i].bytes);
          if (status != QH_OK) return status;
        }
        return QH_OK;
      });
}

void fill_loading(qh_quantizer_api& t) {
  using Keys = qh_status (*)(qh_quantizer*, qh_model*, qh_str_list, qh_str, qh_str_sink);
  const Keys all = [](qh_quantizer*, qh_model*, qh_str_list keys, qh_str, qh_str_sink out) {
    return emit_all(keys, out);
  };
  fill(
      t.process_before_load,
      +[](qh_quantizer*, const qh_exec*, qh_model*, const qh_before_load_args*) -> qh_status {
        return QH_OK;
      });
  fill(t.update_missing_keys, all);
  fill(t.update_unexpected_keys, all);
  fill(
      t.update_expected_keys,
      +[](qh_quantizer*, qh_model*, qh_str_list expected, qh_str_list,
          qh_str_sink out) -> qh_status { return emit_all(expected, out); });
  fill(
      t.get_special_dtypes_update,
      +[](qh_quantizer*, qh_model*, qh_dtype, qh_dtype_sink) -> qh_status { return kHostDefault; });
  fill(
      t.param_element_size,
      +[](qh_quantizer*, qh_model*, qh_str, const qh_tensor*, double*) -> qh_status {
        return kHostDefault;
      });
  fill(
      t.check_quantized_param,
      +[](qh_quantizer*, qh_model*, const qh_param_query*, int32_t* out) -> qh_status {
        *out = 0;
        return QH_OK;
      });
  fill(
      t.row_granularity, +[](qh_quantizer*, qh_model*, qh_str, int64_t* rows) -> qh_status {
        *rows = 0;
        return QH_OK;
      });
  fill(
      t.create_quantized_param,
      +[](qh_quantizer*, const qh_exec*, qh_model*, const qh_param_args* args) -> qh_status {
        // The callee owns the value whatever it returns.
        if (args->value && args->value->deleter) args->value->deleter(args->value);
        return not_supported(QH_ERR_ATTRIBUTE, "this quantizer does not create parameters");
      });
  fill(
      t.process_after_load,
      +[](qh_quantizer*, const qh_exec*, qh_model*) -> qh_status { return QH_OK; });
}

void fill_saving(qh_quantizer_api& t) {
  fill(t.is_serializable, +no_fact);
  fill(t.is_trainable, +no_fact);
  fill(t.is_compileable, +no_fact);
  fill(t.is_qat_trainable, +no_fact);
  fill(
      t.dequantize, +[](qh_quantizer*, const qh_exec*, qh_model*, qh_dtype) -> qh_status {
        return not_supported(QH_ERR_NOT_IMPLEMENTED,
                             "this quantizer does not support dequantization");
      });
  fill(
      t.get_state_dict_and_metadata,
      +[](qh_quantizer*, const qh_exec*, qh_model*, qh_tensor_sink, qh_pair_sink) -> qh_status {
        return kHostDefault;
      });
  fill(
      t.saved_config,
      +[](qh_quantizer*, qh_model*, qh_str_sink) -> qh_status { return kHostDefault; });
  fill(
      t.saved_files, +[](qh_quantizer*, qh_model*, qh_pair_sink) -> qh_status { return QH_OK; });
}

}  // namespace

qh_plugin_api complete(const qh_plugin_api* theirs, std::string_view plugin_id) {
  qh_plugin_api t = checked_copy(theirs, plugin_id, "plugin");
  require(t.describe, plugin_id, "describe");
  fill(
      t.quantizer, +[](qh_plugin*, qh_str, const qh_quantizer_api**) -> qh_status {
        return not_supported(QH_ERR_KEY, "this plugin provides no quantizer");
      });
  fill(
      t.package, +[](qh_plugin*, qh_str, qh_str, qh_str, const void**, qh_package**) -> qh_status {
        return not_supported(QH_ERR_KEY, "this plugin provides no package");
      });
  fill(
      t.self_test, +[](qh_plugin*, const qh_exec*) -> qh_status { return QH_OK; });
  fill(
      t.extension, +[](qh_plugin*, qh_str) -> const void* { return nullptr; });
  fill(
      t.shutdown, +[](qh_plugin*) {});
  return t;
}

qh_quantizer_api complete(const qh_quantizer_api* theirs, std::string_view plugin_id) {
  qh_quantizer_api t = checked_copy(theirs, plugin_id, "quantizer");
  require(t.create, plugin_id, "create");
  require(t.destroy, plugin_id, "destroy");
  fill_decisions(t);
  fill_loading(t);
  fill_saving(t);
  return t;
}

qh_module_class complete(const qh_module_class* theirs, std::string_view plugin_id) {
  qh_module_class t = checked_copy(theirs, plugin_id, "module class");
  require(t.destroy, plugin_id, "destroy");
  require(t.describe, plugin_id, "describe");
  require(t.parameters, plugin_id, "parameters");
  require(t.forward, plugin_id, "forward");
  require(t.state_dict, plugin_id, "state_dict");
  fill(
      t.set_param, +[](qh_module*, const qh_exec*, qh_str, qh_managed_tensor* value) -> qh_status {
        if (value && value->deleter) value->deleter(value);
        return not_supported(QH_ERR_KEY, "this module takes no parameters as they are");
      });
  fill(
      t.get_param, +[](qh_module*, const qh_exec*, qh_str, qh_managed_tensor**) -> qh_status {
        return not_supported(QH_ERR_KEY, "this module gives no parameters out");
      });
  fill(
      t.output_info, +[](qh_module*, const qh_tensor*, uint32_t, qh_tensor*) -> qh_status {
        return kHostDefault;
      });
  fill(
      t.backward_input,
      +[](qh_module*, const qh_exec*, const qh_tensor*, const qh_tensor*,
          const qh_tensor*) -> qh_status {
        return not_supported(QH_ERR_NOT_IMPLEMENTED, "this module has no gradient");
      });
  fill(
      t.to_device, +[](qh_module*, const qh_exec*) -> qh_status {
        return not_supported(QH_ERR_NOT_IMPLEMENTED,
                             "this module cannot be moved to another device");
      });
  fill(
      t.dequantize, +[](qh_module*, const qh_exec*, qh_dtype, qh_managed_tensor**) -> qh_status {
        return not_supported(QH_ERR_NOT_IMPLEMENTED, "this module cannot be dequantized");
      });
  fill(
      t.memory_bytes, +[](qh_module*, qh_module_memory*) -> qh_status { return kHostDefault; });
  fill(
      t.prepare, +[](qh_module*, const qh_exec*) -> qh_status { return QH_OK; });
  return t;
}

}  // namespace quanthost
