#include "host/cli/model_verbs/open_model.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "host/load/devices.hpp"
#include "host/load/tensor_bridge.hpp"
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

// A model that cannot be read is told apart from options that cannot be followed.
[[noreturn]] void fail_model(const Error& e) {
  throw CommandError(ExitCode::kModelInvalid, e.kind(), e.message(), e.hint());
}

// Options are checked before anything is read, and their refusals name them.
void check_option(const char* option, const std::function<void()>& check) {
  try {
    check();
  } catch (const Error& e) {
    throw CommandError(ExitCode::kUsage, e.kind(), fmt::format("{}: {}", option, e.message()),
                       e.hint());
  }
}

std::shared_ptr<Checkpoint> open_checkpoint(const std::filesystem::path& folder) {
  try {
    return std::make_shared<Checkpoint>(Checkpoint::open(folder));
  } catch (const Error& e) {
    fail_model(e);
  }
}

void check_devices(const DeviceMapRequest& request) {
  if (!request.map) return;
  for (const std::string& device : request.map->devices()) {
    try {
      memory_device(device);
    } catch (const Error& e) {
      throw CommandError(
          ExitCode::kDeviceUnavailable, e.kind(), e.message(),
          e.hint().empty() ? "'quanthost devices' lists what can be used here" : e.hint());
    }
  }
}

// A method that nobody provides is a plugin that is not there, though its error is a ValueError.
void need_plugin(PluginHost& plugins, const LoadOptions& load) {
  const Json* const stored = load.opened->quantization_config();
  const std::string& named = load.quantization.method;
  const std::string wanted =
      stored ? stored->value("quant_method", "") : named.substr(named.rfind('/') + 1);
  if (wanted.empty()) return;
  for (const MethodChoice& known : plugins.methods())
    if ((stored ? known.spec->quant_method : known.spec->method) == wanted) return;
  try {
    stored ? plugins.match_checkpoint(*stored) : plugins.find_method(named);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kValue) throw;
    throw CommandError(ExitCode::kDependency, e.kind(), e.message(), e.hint());
  }
}

LoadOptions load_options(const ModelOptions& options) {
  LoadOptions load;
  if (!options.max_memory.empty())
    check_option("--max-memory", [&] {
      load.max_memory = parse_memory_limits(options.max_memory, default_accelerator());
    });
  if (!options.max_queue.empty())
    check_option("--max-queue", [&] {
      load.stream.queue_bytes = static_cast<std::uint64_t>(parse_byte_size(options.max_queue));
    });
  if (!options.dtype.empty() && options.dtype != "auto")
    check_option("--dtype", [&] { qh_dtype_named(options.dtype); });
  load.checkpoint = model_folder(options.path);
  load.opened = open_checkpoint(load.checkpoint);
  load.quantization = options.quant_file.empty()
                          ? user_quantization(options.method, options.settings)
                          : read_user_quantization(options.quant_file);
  load.device_map = parse_device_map(options.device_map, default_accelerator());
  check_devices(load.device_map);
  load.dtype = options.dtype;
  load.stream.readers = static_cast<unsigned>(std::min(at::get_num_threads(), 4));
  load.offload_folder = options.offload_folder;
  load.map_files = !options.no_mmap;
  return load;
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
  load_ = load_options(options);
  load_.progress = &progress_;
  load_.cancel = &interrupt_token();
  if (!trace_file_.empty()) load_.trace = &trace_;
}

LoadedModel LoadSession::plan() {
  need_plugin(session_.plugins(), load_);
  try {
    return plan_load(session_.plugins(), load_);
  } catch (const CheckpointError& e) {
    fail_model(e);
  } catch (const UserOptionError& e) {
    throw CommandError(ExitCode::kUsage, e.kind(), e.message(), e.hint());
  } catch (const Error& e) {
    // Keys and architectures that do not fit are the model's fault, not a plugin's.
    if (e.kind() == ErrorKind::kKey || e.kind() == ErrorKind::kNotImplemented) fail_model(e);
    throw;
  }
}

LoadSession::~LoadSession() {
  try {
    if (!trace_file_.empty()) trace_.write(trace_file_);
  } catch (const Error& e) {
    session_.report(e);
  }
}

text::Tokenizer load_tokenizer(const std::string& model) {
  try {
    return text::Tokenizer::load(model_folder(model));
  } catch (const CommandError&) {
    throw;
  } catch (const Error& e) {
    fail_model(e);
  }
}

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
  return out;
}

}  // namespace quanthost::cli
