#include "host/cli/model_verbs/open_model.hpp"

#include <ATen/Parallel.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <chrono>
#include <cstdlib>

#include "host/load/load_request.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::cli {
namespace {

// Every stage gets a bar of its own. A stage of few bytes is over before a bar would be read.
Progress::Listener stage_bars(const Session& session) {
  struct Bar {
    std::string stage;
    ByteProgress show;
  };
  return [&session, bar = std::make_shared<Bar>()](const ProgressReport& report) {
    if (bar->stage != report.stage || !bar->show)
      *bar = {report.stage, progress_on_stderr(session, report.stage, report.unit)};
    if (report.stage_ended) *bar = {};
    if (bar->show && report.done > 0 && report.seconds > 0.2) bar->show(report.done, report.total);
  };
}

LoadRequest request_of(const ModelOptions& options) {
  LoadRequest request;
  request.model = options.path;
  request.quantization = {options.method, split_settings(options.settings), options.quant_file};
  request.device_map = options.device_map;
  request.max_memory = options.max_memory;
  request.dtype = options.dtype;
  request.max_queue = options.max_queue;
  request.offload_folder = options.offload_folder;
  request.map_files = !options.no_mmap;
  return request;
}

}  // namespace

void add_model_options(Verb& verb, ModelOptions& options) {
  verb.argument("model", options.path, "The model folder")
      .option("--method", options.method,
              "Quantize with this method while loading (see 'quanthost methods')")
      .options("--set", options.settings, "key=value: an option of the method; may be repeated")
      .option("--quant", options.quant_file, "YAML or JSON file with the method and its options")
      .option("--device-map", options.device_map,
              "auto, balanced, balanced_low_0, sequential, a device, JSON, or a file")
      .option("--max-memory", options.max_memory, "Limits of devices, e.g. 0=10GiB,cpu=30GiB")
      .option("--dtype", options.dtype, "auto (as stored), float32, bfloat16 or float16")
      .option("--max-queue", options.max_queue, "Most bytes that are read ahead (default: 256MiB)")
      .flag("--no-mmap", options.no_mmap,
            "Read every tensor into memory instead of using it where it lies in its file")
      .option("--offload-folder", options.offload_folder,
              "Where parts of the model that lie on disk are kept")
      .option("--trace", options.trace_file, "Write what happened when, in Chrome's trace format")
      .option("--threads", options.threads, "Threads to compute with (default: all cores)");
}

LoadSession::LoadSession(Session& session, const ModelOptions& options)
    : session_(session),
      trace_file_(options.trace_file),
      progress_(stage_bars(session), &interrupt_token()) {
  if (!options.threads.empty())
    at::set_num_threads(static_cast<int>(parse_integer("--threads", options.threads, 1)));
  load_ = load_options(request_of(options), command_option_names());
  load_.progress = &progress_;
  load_.cancel = &interrupt_token();
  if (!trace_file_.empty()) load_.trace = &trace_;
}

LoadedModel LoadSession::plan() { return plan_load(session_.plugins(), load_); }

LoadSession::~LoadSession() {
  try {
    if (!trace_file_.empty()) trace_.write(trace_file_);
  } catch (const Error& e) {
    session_.report(e);
  }
}

text::Tokenizer load_tokenizer(const std::string& model) {
  const std::filesystem::path folder = model_folder(model);
  try {
    return text::Tokenizer::load(folder);
  } catch (const Error& e) {
    throw CheckpointError(e);
  }
}

namespace {

// The outputs of a prompt's layers are of a few megabytes each, and freed a moment before the next
// are asked for. By default glibc returns them to the system and faults their pages in again, which
// takes a tenth of a prompt's time. Not before the load, whose memory is another matter; what the
// user has set stays.
void keep_freed_memory() {
#ifdef __GLIBC__
  for (const char* name : {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"})
    if (std::getenv(name)) return;
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most that there is
  ::mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

}  // namespace

OpenedModel open_model(Session& session, const ModelOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  OpenedModel out;
  out.folder = model_folder(options.path);
  out.session = std::make_unique<LoadSession>(session, options);
  out.session->options().keep_small_types = true;
  out.loaded = std::make_unique<LoadedModel>(out.session->plan());
  out.session->run(*out.loaded);
  out.checkpoint = out.loaded->checkpoint;
  out.model = out.loaded->model.get();
  out.load_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  keep_freed_memory();
  return out;
}

}  // namespace quanthost::cli
