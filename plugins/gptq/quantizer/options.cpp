// Reads, checks and writes GPTQConfig's fields.
#include "quantizer/options.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

namespace quanthost::gptq {
namespace {

using Json = nlohmann::ordered_json;
using qh::Error;

// A field's value where it has one, else `otherwise`: checkpoints write null for what was not set.
bool flag(const qh::Config& config, const char* name, bool otherwise) {
  return config.has(name) ? config.boolean(name) : otherwise;
}
double number(const qh::Config& config, const char* name, double otherwise) {
  return config.has(name) ? config.number(name) : otherwise;
}
std::int64_t integer(const qh::Config& config, const char* name, std::int64_t otherwise) {
  return config.has(name) ? config.integer(name) : otherwise;
}
std::string text(const qh::Config& config, const char* name) {
  return config.has(name) ? config.string(name) : std::string();
}

// Everything as it stands in the config; an empty object where that is no JSON object.
Json whole_config(const qh::Config& config) {
  Json whole = Json::parse(config.json(), nullptr, false);
  return whole.is_object() ? whole : Json::object();
}

Json parse_field(const qh::Config& config, const char* name) {
  Json value = Json::parse(config.list_json(name), nullptr, false);
  if (value.is_discarded())
    throw Error(QH_ERR_TYPE, std::string("the option '") + name + "' is no JSON");
  return value;
}

// AWQ's tools spell two fields differently, and GPTQ's readers take both.
std::int64_t synonym(const qh::Config& config, const char* name, const char* other,
                     std::int64_t otherwise) {
  if (config.is_default(name)) {
    const Json whole = whole_config(config);
    if (whole.contains(other) && whole[other].is_number_integer())
      return whole[other].get<std::int64_t>();
  }
  return integer(config, name, otherwise);
}

// As gptqmodel's GPTAQConfig; true stands for its defaults.
std::optional<float> read_gptaq(const qh::Config& config) {
  if (!config.has("gptaq")) return std::nullopt;
  const Json whole = whole_config(config);
  const Json given = whole.contains("gptaq") ? whole["gptaq"] : Json();
  if (given == false) return std::nullopt;
  constexpr double kAlpha = 0.25;
  if (given == true) return static_cast<float>(kAlpha);
  if (!given.is_object())
    throw Error(QH_ERR_VALUE, "gptaq is " + given.dump() + "; it is a map with alpha, or true",
                "--set 'gptaq={alpha: 0.25}'");
  for (const auto& [key, value] : given.items())
    if (key != "alpha" && key != "device")
      throw Error(QH_ERR_VALUE, "gptaq has no option '" + key + "'", "it has alpha and device");
  if (given.contains("device") && !given["device"].is_string())
    throw Error(QH_ERR_VALUE, "gptaq: device is " + given["device"].dump() + "; it is a name",
                "leave it out: inputs are kept where there is room for them");
  const Json alpha = given.value("alpha", Json(kAlpha));
  if (!alpha.is_number() || !(alpha.get<double>() >= 0))
    throw Error(QH_ERR_VALUE, "gptaq: alpha is " + alpha.dump() + "; it is a number, 0 or more");
  return alpha.get<float>();
}

SolverOptions read_solver(const qh::Host& host, const qh::Config& config, bool pre_quantized) {
  SolverOptions solver;
  const std::int64_t bits = synonym(config, "bits", "w_bit", 4);
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
    throw Error(QH_ERR_VALUE,
                "bits is " + std::to_string(bits) + "; GPTQ quantizes to 2, 3, 4 or 8 bits");
  solver.grid.bits = static_cast<int>(bits);
  solver.group_size = synonym(config, "group_size", "q_group_size", 128);
  if (solver.group_size != -1 && solver.group_size <= 0)
    throw Error(QH_ERR_VALUE, "group_size is " + std::to_string(solver.group_size) +
                                  "; it has to be greater than 0, or -1 for one group");
  const double damp = number(config, "damp_percent", 0.1);
  if (!(damp > 0 && damp < 1))
    throw Error(QH_ERR_VALUE,
                "damp_percent is " + Json(damp).dump() + "; it has to lie between 0 and 1");
  solver.damp_percent = static_cast<float>(damp);
  const double increment = number(config, "damp_auto_increment", 0.01);
  if (!(increment >= 0 && increment < 1))
    throw Error(QH_ERR_VALUE, "damp_auto_increment is " + Json(increment).dump() +
                                  "; it has to be 0 or lie between 0 and 1");
  solver.damp_increment = static_cast<float>(increment);
  const double mse = number(config, "mse", 0.0);
  if (!(mse >= 0)) throw Error(QH_ERR_VALUE, "mse is negative; it is an exponent, or 0");
  solver.grid.mse_exponent = static_cast<float>(mse);
  solver.grid.symmetric = flag(config, "sym", true);
  solver.static_groups = flag(config, "static_groups", false);
  solver.desc_act = flag(config, "desc_act", false);
  solver.act_group_aware = flag(config, "act_group_aware", true);
  if (solver.desc_act && solver.act_group_aware) {
    solver.act_group_aware = false;
    if (!pre_quantized && !config.is_default("act_group_aware"))
      host.warn("act_group_aware is switched off: desc_act orders the inputs already");
  }
  if (!pre_quantized) solver.gptaq_alpha = read_gptaq(config);
  if (solver.gptaq_alpha && solver.act_group_aware) {
    solver.act_group_aware = false;
    if (!config.is_default("act_group_aware"))
      host.warn("act_group_aware is switched off: gptaq sweeps the inputs in their own order");
  }
  return solver;
}

void read_exllama(const qh::Config& config, Options& options) {
  if (config.has("disable_exllama") && config.has("use_exllama"))
    throw Error(QH_ERR_VALUE, "disable_exllama and use_exllama are both given",
                "use_exllama alone says it");
  int version = 1;
  if (config.has("exllama_config")) {
    const Json map = parse_field(config, "exllama_config");
    if (!map.is_object() || !map.contains("version"))
      throw Error(QH_ERR_VALUE, "exllama_config has no \"version\"", "it is {\"version\": 1} or 2");
    const Json& found = map["version"];
    if (found != 1 && found != 2)
      throw Error(QH_ERR_VALUE, "exllama_config: version is " + found.dump() + "; it is 1 or 2");
    version = found.get<int>();
  }
  const bool used = config.has("use_exllama")       ? config.boolean("use_exllama")
                    : config.has("disable_exllama") ? !config.boolean("disable_exllama")
                                                    : config.has("exllama_config");
  if (used) options.exllama_version = version;
}

void read_dataset(const qh::Config& config, Options& options) {
  if (!config.has("dataset")) return;
  const Json whole = whole_config(config);
  const Json data = whole.contains("dataset") ? whole["dataset"] : Json();
  if (data.is_string()) {
    options.dataset_path = data.get<std::string>();
    for (const char* name : {"wikitext2", "c4", "c4-new", "ptb", "ptb-new"})
      if (options.dataset_path == name)
        throw Error(QH_ERR_VALUE,
                    std::string("dataset '") + name +
                        "' is a name, and quanthost downloads nothing: it calibrates with a file",
                    "save the text, or the documents as JSONL, and give its path: --set "
                    "dataset=FILE");
    options.dataset_json = data.dump();
    return;
  }
  const auto is_sample = [](const Json& e) {
    return e.is_string() || (e.is_object() && e.contains("input_ids"));
  };
  if (!data.is_array() || data.empty() || !std::all_of(data.begin(), data.end(), is_sample))
    throw Error(QH_ERR_VALUE,
                "dataset has to be the path of a file, a list of texts, or a list of maps with "
                "\"input_ids\"");
  options.dataset_json = data.dump();
  options.sample_count = 0;  // all of them
}

void read_batches(const qh::Config& config, Options& options) {
  options.batch_size = integer(config, "batch_size", 1);
  if (options.batch_size <= 0)
    throw Error(QH_ERR_VALUE, "batch_size is " + std::to_string(options.batch_size) +
                                  "; it has to be a whole number greater than 0");
  options.pad_token_id = integer(config, "pad_token_id", -1);
  if (options.batch_size > 1 && options.pad_token_id < 0 && options.dataset_path.empty() &&
      !options.dataset_json.empty())
    throw Error(QH_ERR_VALUE, "batch_size is greater than 1 and pad_token_id is not given",
                "samples of different lengths are filled up with it: --set pad_token_id=0");
}

std::vector<LayerSubset> read_subsets(const qh::Config& config) {
  std::vector<LayerSubset> subsets;
  if (!config.has("modules_in_block_to_quantize")) return subsets;
  const Json list = parse_field(config, "modules_in_block_to_quantize");
  const auto bad = [] {
    return Error(QH_ERR_VALUE,
                 "modules_in_block_to_quantize has to be a list of lists of layer names",
                 "for example [[self_attn.q_proj, self_attn.k_proj], [mlp.up_proj]]");
  };
  if (!list.is_array()) throw bad();
  for (const Json& entry : list) {
    LayerSubset& subset = subsets.emplace_back();
    if (entry.is_string()) {
      subset.push_back(entry.get<std::string>());
      continue;
    }
    if (!entry.is_array()) throw bad();
    for (const Json& name : entry) {
      if (!name.is_string()) throw bad();
      subset.push_back(name.get<std::string>());
    }
  }
  return subsets;
}

// Without a label a checkpoint is in the first format. That one is written for symmetric zeros
// only: it has no room for a zero of 0, and gptqmodel refuses asymmetric files that are not its
// own.
Format read_format(const qh::Host& host, const qh::Config& config, const SolverOptions& solver,
                   bool pre_quantized) {
  const std::string label =
      config.has("checkpoint_format") ? config.string("checkpoint_format") : text(config, "format");
  const bool asymmetric = !pre_quantized && !solver.grid.symmetric;
  if (label.empty()) return asymmetric ? Format::gptq_v2 : Format::gptq;
  const Format format = format_from(label);
  if (asymmetric && format == Format::gptq)
    host.warn(
        "asymmetric zeros are written in the format gptq, which few programs read them in: "
        "gptq_v2 is made for them");
  return format;
}

void need_int32_words(const qh::Config& config) {
  const Json whole = whole_config(config);
  if (!whole.contains("pack_dtype")) return;
  const Json& found = whole["pack_dtype"];
  if (found.is_null() || found == "int32" || found == "torch.int32") return;
  throw Error(QH_ERR_NOT_IMPLEMENTED,
              "the checkpoint packs its weights into words of " + found.dump() +
                  " (pack_dtype); only int32 can be read",
              "write it again with pack_dtype int32");
}

Json meta_of(const Options& options) {
  const SolverOptions& s = options.solver;
  Json meta = {{"quantizer", {"quanthost:" QH_PLUGIN_VERSION}},
               {"damp_percent", decimal(s.damp_percent)},
               {"damp_auto_increment", decimal(s.damp_increment)},
               {"static_groups", s.static_groups},
               {"true_sequential", options.true_sequential},
               {"mse", decimal(s.grid.mse_exponent)},
               {"act_group_aware", s.act_group_aware}};
  if (s.gptaq_alpha)  // as gptqmodel notes it
    meta["gptaq"] = {{"alpha", decimal(*s.gptaq_alpha)}, {"device", "auto"}};
  return meta;
}

Json field_or_null(const qh::Config& config, const char* name) {
  return config.has(name) ? Json(config.integer(name)) : Json();
}

}  // namespace

double decimal(float value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  return Json::parse(digits, end).get<double>();
}

Options read_options(const qh::Host& host, const qh::Config& config, bool pre_quantized) {
  Options options;
  options.solver = read_solver(host, config, pre_quantized);
  options.format = read_format(host, config, options.solver, pre_quantized);
  options.subsets = read_subsets(config);
  options.block_name = text(config, "block_name_to_quantize");
  read_exllama(config, options);
  if (pre_quantized) {
    need_int32_words(config);
    if (config.has("save_format")) options.save_format = format_from(config.string("save_format"));
    return options;
  }
  options.true_sequential = flag(config, "true_sequential", true);
  options.sample_count = integer(config, "nsamples", 128);
  read_dataset(config, options);
  read_batches(config, options);
  if (config.has("tokenizer")) options.tokenizer = config.string("tokenizer");
  if (config.has("model_seqlen")) options.model_seqlen = config.integer("model_seqlen");
  options.journal = text(config, "journal");
  if (!flag(config, "cache_block_outputs", true))
    host.warn(
        "cache_block_outputs=false changes nothing here: a block's outputs are kept for the next "
        "one, on disk beyond --max-memory, and the result is the same either way");
  return options;
}

std::string saved_config(const qh::Config& config, const Options& options) {
  const SolverOptions& s = options.solver;
  // No data set: transformers takes nothing but the names of a few, and texts do not belong here.
  const Json json = {
      {"quant_method", "gptq"},
      {"bits", s.grid.bits},
      {"tokenizer", nullptr},
      {"dataset", nullptr},
      {"group_size", s.group_size},
      {"damp_percent", decimal(s.damp_percent)},
      {"desc_act", s.desc_act},
      {"act_group_aware", s.act_group_aware},
      {"sym", s.grid.symmetric},
      {"true_sequential", options.true_sequential},
      {"format", label_of(options.format)},
      {"meta", meta_of(options)},
      {"backend", config.has("backend") ? config.string("backend") : "auto"},
      {"model_seqlen", field_or_null(config, "model_seqlen")},
      {"block_name_to_quantize", options.block_name.empty() ? Json() : Json(options.block_name)},
      {"module_name_preceding_first_block", nullptr},
      {"batch_size", options.batch_size},
      {"pad_token_id", field_or_null(config, "pad_token_id")},
      {"max_input_length", field_or_null(config, "max_input_length")},
      {"cache_block_outputs", flag(config, "cache_block_outputs", true)},
      {"modules_in_block_to_quantize", options.subsets.empty() ? Json() : Json(options.subsets)},
      {"checkpoint_format", label_of(options.format)}};
  return json.dump();
}

std::string quantize_config_file(const Options& options) {
  const SolverOptions& s = options.solver;
  const Json json = {{"bits", s.grid.bits},
                     {"group_size", s.group_size},
                     {"damp_percent", decimal(s.damp_percent)},
                     {"desc_act", s.desc_act},
                     {"static_groups", s.static_groups},
                     {"sym", s.grid.symmetric},
                     {"true_sequential", options.true_sequential},
                     {"model_name_or_path", nullptr},
                     {"model_file_base_name", nullptr},
                     {"quant_method", "gptq"},
                     {"checkpoint_format", label_of(options.format)},
                     {"meta", meta_of(options)}};
  return json.dump(2);
}

}  // namespace quanthost::gptq
