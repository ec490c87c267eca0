// The quantizer base class: transformers' HfQuantizer with its defaults as virtual functions.
#pragma once

#include <quanthost/abi/quantizer.h>

#include <functional>
#include <map>
#include <optional>
#include <quanthost/plugin/model.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qh {

// The options of one quantizer, typed as the manifest declares them.
class Config {
 public:
  explicit Config(const qh_create_args& args) : json_(from_abi(args.config_json)) {
    for (std::uint64_t i = 0; i < args.field_count; ++i) {
      const qh_config_field& f = args.fields[i];
      fields_.emplace(from_abi(f.name), Field{f.type, f.is_default != 0, f.integer, f.number,
                                              std::string(from_abi(f.text))});
    }
  }

  const std::string& json() const {
    return json_;
  }  // the merged config as it stands in the checkpoint
  bool has(std::string_view name) const { return find(name) && find(name)->type != QH_CONFIG_NULL; }
  bool is_default(std::string_view name) const { return !find(name) || find(name)->is_default; }

  bool boolean(std::string_view name) const { return need(name, QH_CONFIG_BOOL).integer != 0; }
  std::int64_t integer(std::string_view name) const { return need(name, QH_CONFIG_INT).integer; }
  double number(std::string_view name) const {
    const Field* f = find(name);
    return f && f->type == QH_CONFIG_INT ? f->number : need(name, QH_CONFIG_FLOAT).number;
  }
  const std::string& string(std::string_view name) const {
    return need(name, QH_CONFIG_STRING).text;
  }
  const std::string& list_json(std::string_view name) const {
    return need(name, QH_CONFIG_JSON).text;
  }
  // A list of strings; empty when the field is null.
  std::vector<std::string> strings(std::string_view name) const {
    return has(name) ? parse_strings(name, list_json(name)) : std::vector<std::string>();
  }

 private:
  struct Field {
    std::int32_t type;
    bool is_default;
    std::int64_t integer;
    double number;
    std::string text;
  };

  const Field* find(std::string_view name) const {
    const auto it = fields_.find(name);
    return it == fields_.end() ? nullptr : &it->second;
  }
  const Field& need(std::string_view name, std::int32_t type) const {
    const Field* field = find(name);
    if (!field)
      throw Error(QH_ERR_INTERNAL, "the manifest declares no option '" + std::string(name) + "'");
    if (field->type != type)
      throw Error(QH_ERR_TYPE,
                  "the option '" + std::string(name) + "' is not of the type that is asked for");
    return *field;
  }
  // JSON lists of plain strings, which is all that module lists are; escapes other than \" \\ \/
  // are refused.
  static std::vector<std::string> parse_strings(std::string_view name, std::string_view json) {
    const auto bad = [&]() -> Error {
      return Error(QH_ERR_TYPE,
                   "the option '" + std::string(name) + "' has to be a list of strings",
                   "found " + std::string(json));
    };
    std::vector<std::string> out;
    std::size_t i = 0;
    const auto skip = [&] {
      while (i < json.size() &&
             (json[i] == ' ' || json[i] == '\n' || json[i] == '\t' || json[i] == '\r'))
        ++i;
    };
    const auto expect = [&](char c) {
      skip();
      if (i >= json.size() || json[i] != c) throw bad();
      ++i;
    };
    expect('[');
    skip();
    if (i < json.size() && json[i] == ']') return out;
    for (;;) {
      expect('"');
      std::string text;
      for (; i < json.size() && json[i] != '"'; ++i) {
        if (json[i] == '\\' &&
            (++i >= json.size() || (json[i] != '"' && json[i] != '\\' && json[i] != '/')))
          throw bad();
        text.push_back(json[i]);
      }
      expect('"');
      out.push_back(std::move(text));
      skip();
      if (i < json.size() && json[i] == ',') {
        ++i;
        continue;
      }
      expect(']');
      return out;
    }
  }

  std::string json_;
  std::map<std::string, Field, std::less<>> fields_;
};

// Module name ("" is the whole model) -> device name.
using DeviceMap = std::vector<std::pair<std::string, std::string>>;
using MemoryLimits = std::vector<std::pair<std::string, double>>;

inline DeviceMap to_device_map(qh_pair_list list) {
  DeviceMap out;
  for (std::uint64_t i = 0; i < list.count; ++i)
    out.emplace_back(from_abi(list.items[i].key), from_abi(list.items[i].value));
  return out;
}

struct Environment {
  bool from_tf;
  bool from_flax;
  bool device_map_inferred;
  std::optional<DeviceMap> device_map;
  Dtype torch_dtype;  // kNoDtype when the user said nothing
  std::vector<std::string> devices;
};

struct ParamQuery {
  std::string_view name;
  TensorView value;  // shape and type; no data
  std::string_view param_device;
  DeviceMap device_map;
  bool multi_device;
};

struct ParamArgs {
  std::string_view name;
  Tensor value;
  std::string_view target_device;
  std::int64_t row_begin;
  std::int64_t row_count;
  std::int64_t total_rows;
  std::function<void(std::string_view key)> consumed;
};

class Quantizer {
 public:
  // The host has already refused a model that is not pre-quantized when the manifest says
  // requires_calibration.
  Quantizer(const Host& host, const qh_create_args& args)
      : config(args),
        pre_quantized((args.flags & QH_CREATE_PRE_QUANTIZED) != 0),
        host_(&host),
        session_(args.session) {}
  virtual ~Quantizer() = default;
  Quantizer(const Quantizer&) = delete;
  Quantizer& operator=(const Quantizer&) = delete;

  const Host& host() const { return *host_; }
  qh_session* session() const { return session_; }

  const Config config;
  const bool pre_quantized;
  std::vector<std::string> modules_to_not_convert;

  // Warnings and hints go to `report(severity, message, hint)`; throw to refuse.
  using Report =
      std::function<void(std::int32_t severity, std::string_view message, std::string_view hint)>;
  virtual void validate_environment(const Environment&, const Report&) {}
  virtual Dtype update_torch_dtype(Dtype requested) { return requested; }
  virtual std::optional<DeviceMap> update_device_map(std::optional<DeviceMap> map) { return map; }
  virtual Dtype adjust_target_dtype(Dtype dtype) { return dtype; }
  virtual MemoryLimits adjust_max_memory(MemoryLimits limits) { return limits; }
  virtual void process_before_load(const Exec&, Model&, const DeviceMap&,
                                   const std::vector<std::string>& /*keep_fp32*/) {}
  virtual std::vector<std::string> update_missing_keys(Model&, std::vector<std::string> keys,
                                                       std::string_view) {
    return keys;
  }
  virtual std::vector<std::string> update_unexpected_keys(Model&, std::vector<std::string> keys,
                                                          std::string_view) {
    return keys;
  }
  virtual std::vector<std::string> update_expected_keys(
      Model&, std::vector<std::string> expected, const std::vector<std::string>& /*loaded*/) {
    return expected;
  }
  virtual std::vector<std::pair<std::string, Dtype>> get_special_dtypes_update(Model& model,
                                                                               Dtype dtype) {
    std::vector<std::pair<std::string, Dtype>> out;
    for (const ParamDesc& param : model.parameters()) {
      if (param.is_buffer) continue;
      for (const std::string& entry : modules_to_not_convert) {
        if (param.name.find(entry) == std::string::npos) continue;
        out.emplace_back(param.name, dtype);
        break;
      }
    }
    return out;
  }
  // Negative: as if the slot were left out; the host takes the target dtype's size.
  virtual double param_element_size(Model&, std::string_view /*name*/, TensorView) { return -1; }
  virtual bool check_quantized_param(Model&, const ParamQuery&) { return false; }
  virtual std::int64_t row_granularity(Model&, std::string_view /*name*/) { return 0; }
  virtual void create_quantized_param(const Exec&, Model&, ParamArgs args) {
    throw Error(QH_ERR_ATTRIBUTE, "the quantizer does not create parameters, but was asked for '" +
                                      std::string(args.name) + "'");
  }
  virtual void process_after_load(const Exec&, Model&) {}
  virtual bool is_serializable() { return false; }
  virtual bool is_trainable() { return false; }
  virtual bool is_compileable() { return false; }
  virtual bool is_qat_trainable() { return false; }
  virtual void dequantize(const Exec&, Model&, Dtype) {
    throw Error(QH_ERR_NOT_IMPLEMENTED, "the method has no way back to a dense model");
  }
  virtual std::string saved_config(Model&) { return config.json(); }
  virtual std::vector<std::pair<std::string, std::string>> saved_files(Model&) { return {}; }

 private:
  const Host* host_;
  qh_session* session_;
};

// The table whose slots call the virtuals. `create` is left to the plugin's entry (entry.hpp).
void fill_quantizer_slots(qh_quantizer_api& table);

}  // namespace qh

#include <quanthost/plugin/quantizer_slots.hpp>
