#include "host/report/run_data.hpp"

#include <algorithm>

namespace quanthost::report {
namespace {

std::string in_megabytes(double bytes) { return fmt::format("{:.1f} MB", bytes / 1e6); }

double number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

std::string text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// A figure that is given plainly or as {median, min, max}.
double median(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return 0;
  return found->is_object() ? number(*found, "median") : number(object, key);
}

void add_fact(RunData& data, std::string label, std::string value) {
  if (!value.empty()) data.facts.emplace_back(std::move(label), std::move(value));
}

void add_errors(RunData& data, const Json& layers) {
  std::vector<LayerError> errors;
  for (const Json& layer : layers) {
    if (!layer.contains("error")) continue;
    errors.push_back({text(layer, "name"), static_cast<int>(number(layer, "bits")),
                      static_cast<int>(number(layer, "group_size")), number(layer, "loss"),
                      number(layer, "rtn_error"), number(layer, "error"),
                      number(layer, "seconds")});
  }
  if (!errors.empty()) data.errors = std::move(errors);  // of one run, told once
}

void add_layers(RunData& data, const Json& document) {
  if (!document.contains("layers")) return;
  data.layers.clear();
  for (const Json& layer : document.at("layers"))
    data.layers.push_back({text(layer, "name"), text(layer, "class"), number(layer, "bytes_before"),
                           number(layer, "bytes_after"), layer.value("quantized", false)});
  add_errors(data, document.at("layers"));
}

void add_load(RunData& data, const Json& document) {
  const std::string method = text(document, "method");
  add_fact(data, "Model", text(document, document.contains("model") ? "model" : "out"));
  add_fact(data, "Architecture", text(document, "architecture"));
  add_fact(data, "Method", method.empty() ? "none" : method);
  add_fact(data, "Element type", text(document, "dtype"));
  const double read = number(document, "bytes_read");
  add_fact(data, "Read", read > 0 ? in_megabytes(read) : "nothing: mapped where it lies");
  add_fact(data, "Model in memory", in_megabytes(number(document, "model_bytes")));
  add_fact(data, "Load time", fmt::format("{:.3f} s", number(document, "seconds")));
  add_fact(data, "Peak memory of the process", in_megabytes(number(document, "peak_rss_bytes")));
  add_layers(data, document);
}

void add_run(RunData& data, const Json& document) {
  data.speeds.push_back(
      {"run", number(document, "load_s"), number(document, "prefill_tokens_per_s"),
       number(document, "decode_tokens_per_s"), 0, number(document, "peak_rss_bytes")});
}

void add_bench(RunData& data, const Json& document) {
  add_fact(data, "Benchmarked model", text(document, "model"));
  add_fact(
      data, "Benchmark",
      fmt::format("{:.0f} threads, prompt of {:.0f} tokens, {:.0f} new tokens, medians of {:.0f}",
                  number(document, "threads"), number(document, "prompt_tokens"),
                  number(document, "new_tokens"), number(document, "repeat")));
  for (const Json& result : document.at("results")) {
    const std::string method = text(result, "method");
    data.speeds.push_back({method, median(result, "load_seconds"),
                           median(result, "prefill_tokens_per_second"),
                           median(result, "decode_tokens_per_second"),
                           number(result, "model_bytes"), number(result, "peak_rss_bytes")});
    if (!result.contains("layers")) continue;
    for (const Json& layer : result.at("layers"))
      data.layer_speeds.push_back({method, text(layer, "class"), layer.value("in", std::int64_t{0}),
                                   layer.value("out", std::int64_t{0}),
                                   layer.value("rows", std::int64_t{0}), number(layer, "seconds"),
                                   number(layer, "dense_seconds")});
  }
}

void add_calibration(RunData& data, const Json& document) {
  add_errors(data, document.at("layers"));
  if (!data.layers.empty()) return;
  for (const Json& layer : document.at("layers"))
    data.layers.push_back({text(layer, "name"), "", number(layer, "bytes_before"),
                           number(layer, "bytes_after"), true});
}

// Chrome's trace format, as --trace writes it; times in microseconds.
void add_trace(RunData& data, const Json& document) {
  for (const Json& event : document.at("traceEvents")) {
    const double at_ms = number(event, "ts") / 1e3;
    if (text(event, "ph") == "C" && text(event, "name") == "memory") {
      data.memory.push_back({at_ms, number(event.at("args"), "rss_bytes")});
    } else if (text(event, "cat") == "stage") {
      data.stages.push_back({text(event, "name"), at_ms, number(event, "dur") / 1e3});
    }
  }
  const auto by_time = [](const auto& a, const auto& b) { return a.at_ms < b.at_ms; };
  std::sort(data.memory.begin(), data.memory.end(), by_time);
  std::sort(data.stages.begin(), data.stages.end(),
            [](const Span& a, const Span& b) { return a.begin_ms < b.begin_ms; });
}

// The module that holds a stored tensor: "a.b.weight.absmax" belongs to "a.b".
std::string module_of(const std::string& tensor) {
  for (const char* part : {".weight", ".bias"}) {
    const std::size_t at = tensor.find(part);
    const std::size_t end = at == tensor.npos ? at : at + std::string_view(part).size();
    if (at != tensor.npos && (end == tensor.size() || tensor[end] == '.'))
      return tensor.substr(0, at);
  }
  const std::size_t dot = tensor.rfind('.');
  return dot == tensor.npos ? tensor : tensor.substr(0, dot);
}

}  // namespace

void add_document(RunData& data, const Json& document, const std::string& where) {
  if (document.is_array()) {
    for (const Json& item : document) add_document(data, item, where);
    return;
  }
  if (!document.is_object())
    throw Error(ErrorKind::kValue, fmt::format("{}: not a JSON object", where),
                "give what 'load --json', 'bench --json' or '--trace' wrote");
  const std::string schema = text(document, "schema");
  if (document.contains("traceEvents")) {
    add_trace(data, document);
  } else if (schema == "quanthost.load" || schema == "quanthost.quantize") {
    add_load(data, document);
  } else if (schema == "quanthost.run") {
    add_run(data, document);
  } else if (schema == "quanthost.bench") {
    add_bench(data, document);
  } else if (schema.starts_with("quanthost.gptq-report")) {
    add_calibration(data, document);
  } else {
    throw Error(ErrorKind::kValue,
                fmt::format("{}: {} is nothing that a report can show", where,
                            schema.empty() ? "JSON without a schema" : fmt::format("'{}'", schema)),
                "give the JSON of load, quantize, run or bench, a --trace, or a gptq report");
  }
}

void add_model(RunData& data, const CheckpointDescription& description) {
  const bool first = data.layers.empty();
  std::map<std::string, double> bytes;
  std::vector<std::string> order;
  for (const TensorSummary& tensor : description.tensors) {
    const std::string module = module_of(tensor.tensor.name);
    if (bytes.emplace(module, 0).second) order.push_back(module);
    bytes[module] += static_cast<double>(tensor.bytes);
  }
  add_fact(data, first ? "Model" : "Became", description.directory.string());
  if (first) add_fact(data, "Architecture", description.architecture);
  add_fact(data, "Method", description.quant_method);
  add_fact(data, first ? "On disk" : "On disk now",
           in_megabytes(static_cast<double>(description.bytes)));
  if (first) {
    for (const std::string& name : order) data.layers.push_back({name, "", 0, bytes[name], false});
    return;
  }
  for (LayerSize& layer : data.layers) {
    const auto found = bytes.find(layer.name);
    if (found == bytes.end()) continue;
    if (layer.before == 0) layer.before = layer.after;
    layer.after = found->second;
    layer.quantized = layer.before != layer.after;
  }
}

}  // namespace quanthost::report
