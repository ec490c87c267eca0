// Reads and writes the method's options.
#include "plugins/bnb4/quantizer/config.hpp"

#include "plugins/bnb4/quantizer/quant_state.hpp"

namespace quanthost::bnb4 {
namespace {

qh::Dtype dtype_option(const qh::Config& config, const char* name, qh::Dtype otherwise) {
  if (!config.has(name)) return otherwise;
  std::string text = config.string(name);
  if (text.rfind("torch.", 0) == 0) text = text.substr(6);
  for (const qh::NamedDtype& known : qh::kNamedDtypes) {
    if (known.name == text) return known.dtype;
  }
  throw qh::Error(QH_ERR_ATTRIBUTE,
                  std::string(name) + ": torch has no element type '" + text + "'",
                  "for example float32, float16 or bfloat16");
}

qh::Dtype compute_dtype(const qh::Config& config) {
  const qh::Dtype dtype = dtype_option(config, "bnb_4bit_compute_dtype", qh::kFloat32);
  if (dtype == qh::kFloat32 || dtype == qh::kFloat16 || dtype == qh::kBfloat16) return dtype;
  throw qh::Error(
      QH_ERR_VALUE,
      "bnb_4bit_compute_dtype: products cannot be computed in " + std::string(qh::name_of(dtype)),
      "choose float32, float16 or bfloat16");
}

qh::Dtype quant_storage(const qh::Config& config) {
  const qh::Dtype dtype = dtype_option(config, "bnb_4bit_quant_storage", qh::kUint8);
  for (const qh::Dtype known :
       {qh::kFloat16, qh::kFloat32, qh::kInt8, qh::kUint8, qh::kFloat64, qh::kBfloat16}) {
    if (dtype == known) return dtype;
  }
  throw qh::Error(
      QH_ERR_VALUE,
      "bnb_4bit_quant_storage: packed bytes cannot be stored as " + std::string(qh::name_of(dtype)),
      "choose float16, float32, int8, uint8, float64 or bfloat16");
}

QuantType quant_type_option(const qh::Config& config) {
  const std::string& name = config.string("bnb_4bit_quant_type");
  if (const auto type = quant_type_from(name)) return *type;
  throw qh::Error(QH_ERR_VALUE, "bnb_4bit_quant_type: there is no 4-bit type '" + name + "'",
                  "choose nf4 or fp4");
}

void refuse_8bit(const qh::Config& config) {
  if (!config.boolean("load_in_8bit")) return;
  if (config.boolean("load_in_4bit")) {
    throw qh::Error(QH_ERR_VALUE, "load_in_4bit and load_in_8bit are both set, and only one can be",
                    "leave one of them out");
  }
  throw qh::Error(QH_ERR_NOT_IMPLEMENTED,
                  "load_in_8bit asks for 8-bit weights, which this method does not have",
                  "set load_in_4bit, or use another method for 8 bits");
}

std::string quoted(std::string_view text) {
  std::string out(1, '"');
  out.append(text);
  out.push_back('"');
  return out;
}
const char* boolean(bool value) { return value ? "true" : "false"; }

}  // namespace

Options read_options(const qh::Config& config) {
  refuse_8bit(config);
  Options options{quant_type_option(config),
                  config.boolean("bnb_4bit_use_double_quant"),
                  compute_dtype(config),
                  quant_storage(config),
                  config.boolean("llm_int8_enable_fp32_cpu_offload"),
                  std::nullopt};
  if (config.has("llm_int8_skip_modules"))
    options.skip_modules = config.strings("llm_int8_skip_modules");
  return options;
}

std::string saved_config(const qh::Config& config) {
  const Options options = read_options(config);
  const std::string skip = config.has("llm_int8_skip_modules")
                               ? config.list_json("llm_int8_skip_modules")
                               : std::string("null");
  // The two private names are what transformers writes, and ignores when it reads.
  return std::string(
             "{\"_load_in_4bit\": true, \"_load_in_8bit\": false, \"bnb_4bit_compute_dtype\": ") +
         quoted(qh::name_of(options.compute_dtype)) +
         ", \"bnb_4bit_quant_storage\": " + quoted(qh::name_of(options.quant_storage)) +
         ", \"bnb_4bit_quant_type\": " + quoted(name_of(options.quant_type)) +
         ", \"bnb_4bit_use_double_quant\": " + boolean(options.double_quant) +
         ", \"llm_int8_enable_fp32_cpu_offload\": " + boolean(options.cpu_offload) +
         ", \"llm_int8_has_fp16_weight\": " + boolean(config.boolean("llm_int8_has_fp16_weight")) +
         ", \"llm_int8_skip_modules\": " + skip +
         ", \"llm_int8_threshold\": " + python_repr(config.number("llm_int8_threshold")) +
         ", \"load_in_4bit\": true, \"load_in_8bit\": false, \"quant_method\": \"bitsandbytes\"}";
}

}  // namespace quanthost::bnb4
