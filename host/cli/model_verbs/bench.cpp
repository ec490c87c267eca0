// `quanthost bench`: loading, reading a prompt and generating, by method; and the layers alone.
#include <ATen/Parallel.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include "host/cli/model_verbs/open_model.hpp"
#include "host/load/plugin_module.hpp"
#include "host/model/generate.hpp"
#include "host/model/module_tree.hpp"

namespace quanthost::cli {
namespace {

struct BenchOptions {
  ModelOptions model;
  std::string prompt = "512", tokens = "128", repeat = "3", format = "text";
  bool layers = false;
};

// Of a few repetitions; the median is what a later run most likely sees.
class Samples {
 public:
  void add(double value) { values_.push_back(value); }
  double median() const {
    auto sorted = values_;
    std::sort(sorted.begin(), sorted.end());
    const std::size_t n = sorted.size();
    return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
  }
  OrderedJson json() const {
    const auto [least, most] = std::minmax_element(values_.begin(), values_.end());
    return {{"median", median()}, {"min", *least}, {"max", *most}};
  }

 private:
  std::vector<double> values_;
};

struct LayerTime {
  std::string module_class;
  std::int64_t in, out, rows;
  double seconds, dense_seconds;  // the median; the same shape as a plain linear layer
};

struct MethodResult {
  std::string method;
  std::string dtype;
  Samples load, prefill, decode;  // seconds, tokens a second, tokens a second
  std::uint64_t model_bytes = 0;
  std::uint64_t peak_rss_bytes = 0;  // since this method began; 0: not known
  std::vector<LayerTime> layers;
};

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The kernel's high-water mark begins anew, so that each method has one of its own.
void reset_peak_rss() { std::ofstream("/proc/self/clear_refs") << "5"; }

std::uint64_t peak_rss_since_reset() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
  return 0;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  std::stringstream stream(text);
  for (std::string item; std::getline(stream, item, ',');) out.push_back(item);
  if (out.empty()) out.emplace_back();
  return out;
}

// Ids spread over the vocabulary: what they mean takes no time.
std::vector<std::int64_t> prompt_of(std::int64_t tokens, std::int64_t vocabulary) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < tokens; ++i) ids.push_back((i * 7919 + 13) % vocabulary);
  return ids;
}

double median_seconds(int repeat, const std::function<void()>& body) {
  body();
  Samples samples;
  for (int i = 0; i < repeat; ++i) {
    const auto start = Clock::now();
    body();
    samples.add(since(start));
    if (interrupted()) throw_interrupted();
  }
  return samples.median();
}

// Each shape of quantized layer once, at 1, 16 and 128 rows.
std::vector<LayerTime> time_layers(const LoadedModel& loaded, int repeat) {
  std::vector<LayerTime> out;
  std::set<std::tuple<std::string, std::int64_t, std::int64_t>> seen;
  for (const model::ModuleEntry& entry : model::walk_modules(loaded.model->root())) {
    auto* layer = dynamic_cast<PluginModule*>(entry.module);
    if (!layer) continue;
    const qh_module_info info = layer->describe();
    if (info.in_features == 0 ||
        !seen.emplace(entry.class_name, info.in_features, info.out_features).second)
      continue;
    const at::Tensor weight = at::randn({info.out_features, info.in_features}).to(loaded.dtype);
    for (const std::int64_t rows : {1, 16, 128}) {
      const at::Tensor x = at::randn({rows, info.in_features}).to(loaded.dtype);
      out.push_back({entry.class_name, info.in_features, info.out_features, rows,
                     median_seconds(5 * repeat, [&] { layer->compute(x); }),
                     median_seconds(5 * repeat, [&] { at::linear(x, weight); })});
    }
  }
  return out;
}

// 0: without a limit, or the load will say what is wrong with config.json.
std::int64_t positions_of(const std::filesystem::path& folder) {
  try {
    return model::read_model_config_file(folder / "config.json").max_positions;
  } catch (const Error&) {
    return 0;
  }
}

// From config.json alone, before anything large is read.
void check_length(const std::string& path, std::int64_t prompt, std::int64_t added) {
  const std::int64_t positions = positions_of(model_folder(path));
  if (positions <= 0 || prompt + added <= positions) return;
  throw CommandError(ExitCode::kUsage, ErrorKind::kValue,
                     fmt::format("a prompt of {} tokens and {} new ones do not fit: the model "
                                 "takes {} positions",
                                 prompt, added, positions),
                     "choose a shorter --prompt-tokens or --new-tokens");
}

MethodResult measure(Session& session, const BenchOptions& options, const std::string& method) {
  ModelOptions load = options.model;
  load.method = method == "none" ? "" : method;
  const auto repeat = static_cast<int>(parse_integer("--repeat", options.repeat, 1));
  model::GenerationOptions generation;
  generation.max_new_tokens = parse_integer("--new-tokens", options.tokens, 2);
  const std::int64_t prompt_tokens = parse_integer("--prompt-tokens", options.prompt, 1);

  check_length(load.path, prompt_tokens, generation.max_new_tokens);

  MethodResult result;
  result.method = method.empty() ? "none" : method;
  reset_peak_rss();
  OpenedModel opened;
  for (int i = 0; i < repeat; ++i) {
    opened = OpenedModel{};  // one model at a time
    opened = open_model(session, load);
    result.load.add(opened.load_seconds);
  }
  if (method.empty() && opened.loaded->quantizer)
    result.method = opened.loaded->quantizer->config().spec->method;
  result.dtype = name_of(to_qh_dtype(opened.loaded->dtype));
  result.model_bytes = opened.loaded->stats.model_bytes;
  const auto prompt = prompt_of(prompt_tokens, opened.model->config().vocab_size);
  model::GenerationOptions warm_up;
  warm_up.max_new_tokens = 2;
  model::generate(*opened.model, {prompt}, warm_up);
  for (int i = 0; i < repeat; ++i) {
    const model::Generation run =
        model::generate(*opened.model, {prompt}, generation,
                        [](std::size_t, std::int64_t) { return !interrupted(); });
    if (interrupted()) throw_interrupted();
    result.prefill.add(static_cast<double>(run.prompt_tokens) / run.prefill_seconds);
    result.decode.add(static_cast<double>(run.steps) / run.decode_seconds);
  }
  result.peak_rss_bytes = peak_rss_since_reset();
  if (options.layers) result.layers = time_layers(*opened.loaded, repeat);
  return result;
}

OrderedJson to_json(const MethodResult& result) {
  OrderedJson layers = OrderedJson::array();
  for (const LayerTime& t : result.layers)
    layers.push_back({{"class", t.module_class},
                      {"in", t.in},
                      {"out", t.out},
                      {"rows", t.rows},
                      {"seconds", t.seconds},
                      {"dense_seconds", t.dense_seconds}});
  return {{"method", result.method},
          {"dtype", result.dtype},
          {"load_seconds", result.load.json()},
          {"prefill_tokens_per_second", result.prefill.json()},
          {"decode_tokens_per_second", result.decode.json()},
          {"model_bytes", result.model_bytes},
          {"peak_rss_bytes", result.peak_rss_bytes},
          {"layers", layers}};
}

using Rows = std::vector<std::vector<std::string>>;

Rows rows_of(const std::vector<MethodResult>& results) {
  Rows rows{{"METHOD", "DTYPE", "LOAD s", "PREFILL tok/s", "DECODE tok/s", "MODEL MB", "PEAK MB"}};
  for (const MethodResult& r : results)
    rows.push_back({r.method, r.dtype, fmt::format("{:.3f}", r.load.median()),
                    fmt::format("{:.1f}", r.prefill.median()),
                    fmt::format("{:.1f}", r.decode.median()),
                    fmt::format("{:.1f}", static_cast<double>(r.model_bytes) / 1e6),
                    fmt::format("{:.1f}", static_cast<double>(r.peak_rss_bytes) / 1e6)});
  return rows;
}

Rows layer_rows_of(const std::vector<MethodResult>& results) {
  Rows rows{{"METHOD", "LAYER", "IN", "OUT", "ROWS", "µs", "GFLOP/s", "DENSE µs", "TIMES DENSE"}};
  for (const MethodResult& r : results)
    for (const LayerTime& t : r.layers)
      rows.push_back(
          {r.method, t.module_class, std::to_string(t.in), std::to_string(t.out),
           std::to_string(t.rows), fmt::format("{:.1f}", t.seconds * 1e6),
           fmt::format("{:.1f}", 2e-9 * static_cast<double>(t.in * t.out * t.rows) / t.seconds),
           fmt::format("{:.1f}", t.dense_seconds * 1e6),
           fmt::format("{:.2f}x", t.dense_seconds / t.seconds)});
  return rows;
}

std::string delimited(const Rows& rows, const std::string& format) {
  if (format == "text") return format_table(rows);
  std::string out;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::string line;
    for (const std::string& cell : rows[i])
      line += format == "csv" ? (line.empty() ? "" : ",") + cell : "| " + cell + " ";
    out += (i ? "\n" : "") + line + (format == "md" ? "|" : "");
    if (format == "md" && i == 0) {
      out += "\n";
      for (std::size_t cell = 0; cell < rows[0].size(); ++cell) out += cell < 2 ? "|---" : "|---:";
      out += "|";
    }
  }
  return out;
}

int bench(Session& session, const BenchOptions& options) {
  const auto methods = split(options.model.method);
  if (methods.size() > 1 && !options.model.settings.empty())
    throw CommandError(ExitCode::kUsage, ErrorKind::kValue,
                       "--set belongs to one method, and --method names several",
                       "bench each method by itself, or leave --set out");
  const c10::InferenceMode no_gradients;
  std::vector<MethodResult> results;
  results.reserve(methods.size());
  for (const std::string& method : methods) results.push_back(measure(session, options, method));
  if (session.json()) {
    OrderedJson list = OrderedJson::array();
    for (const MethodResult& result : results) list.push_back(to_json(result));
    session.print_json("bench", {{"model", options.model.path},
                                 {"threads", at::get_num_threads()},
                                 {"repeat", std::stoi(options.repeat)},
                                 {"prompt_tokens", std::stoi(options.prompt)},
                                 {"new_tokens", std::stoi(options.tokens)},
                                 {"results", list}});
    return 0;
  }
  session.print(delimited(rows_of(results), options.format));
  if (options.layers) session.print("\n" + delimited(layer_rows_of(results), options.format));
  if (options.format == "text" && !session.quiet())
    session.print(
        fmt::format("\nmedians of {} runs, {} threads, prompt of {} tokens, {} new tokens",
                    options.repeat, at::get_num_threads(), options.prompt, options.tokens));
  return 0;
}

}  // namespace

void add_bench(Verb root, Session& session) {
  auto options = std::make_shared<BenchOptions>();
  Verb verb = model_verb(
      root, "bench",
      "  quanthost bench models/smollm2 --method none,bitsandbytes_4bit,quanto\n"
      "  quanthost bench models/smollm2 --method bitsandbytes_4bit --layers    the kernels alone\n"
      "  quanthost bench models/smollm2 --json > bench.json && quanthost report bench.json");
  add_model_options(verb, options->model);
  verb.option("--prompt-tokens", options->prompt, "Length of the prompt (default: 512)")
      .option("--new-tokens", options->tokens, "Tokens to generate, at least 2 (default: 128)")
      .option("--repeat", options->repeat, "Repetitions; the median is shown (default: 3)")
      .flag("--layers", options->layers,
            "Also time each shape of quantized layer at 1, 16 and 128 rows, beside a dense one")
      .choice("--format", options->format, {"text", "md", "csv"}, "Form of the table")
      .run([&session, options] { return bench(session, *options); });
}

}  // namespace quanthost::cli
