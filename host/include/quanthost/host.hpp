// Embedding the host: find plugins, load Hugging Face checkpoints through them, run, quantize and
// save models.
//
// C++17. No header of LibTorch is needed, except where at::Tensor is used: include one then. The
// library and the application must have been compiled against the same LibTorch.
//
// Threads. Every function of Host and of CancelSource may be called from any thread at any time,
// and loads run beside each other. Every function of Model and QuantizedModule may be called from
// any thread too; calls of one object wait for each other, so one model computes one thing at a
// time, and different models compute at the same time. Callbacks come on the thread that made the
// call, or on one that works for it, one at a time; a callback must not call the object that is
// calling it back (that fails with kRuntime) but may call others. Destroying or moving an object
// while another thread uses it is an error of the application.
//
// Several Hosts may exist in one process, each with its own plugin path, trust, log and so on. What
// they share is what the process has once: opened plugins, which are never unloaded, and LibTorch's
// threads (set_threads).
//
// Failures are thrown as quanthost::Error; std::bad_alloc may pass too.
#pragma once

#include <quanthost/export.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#ifdef QUANTHOST_BUILDING
#include "host/base/error.hpp"
#else
#include <quanthost/error.hpp>
#endif

namespace at {
class Tensor;
}
struct DLManagedTensorVersioned;  // DLPack's

namespace quanthost {

namespace model {
class Module;
}

// Within the library itself other layers have a LoadOptions of their own.
#ifndef QUANTHOST_BUILDING
inline
#endif
    namespace api {

QUANTHOST_API std::string_view version();  // of the library, e.g. "0.1.0"
// LibTorch's threads, for the whole process. Models loaded before keep what they were told.
QUANTHOST_API void set_threads(int count);

enum class LogLevel : int { kTrace = 0, kDebug = 1, kInfo = 2, kWarn = 3, kError = 4, kOff = 6 };
// `source` is a plugin's id or a part of the host, e.g. "load". Must not throw. Calls may come from
// several threads at once.
using LogSink = std::function<void(LogLevel, std::string_view source, std::string_view message)>;

struct HostOptions {
  // Searched first, then QUANTHOST_PLUGIN_PATH, the user's and the system's folders, and the one
  // next to the library.
  std::vector<std::filesystem::path> plugin_paths;
  std::string trust;  // "off", "warn" or "require"; empty: the user's own setting
  bool use_cache = true;
  bool isolate_first_use = true;  // a plugin is opened in a process of its own first
  std::chrono::milliseconds probe_time_limit{10'000};
  LogSink log;  // empty: lines on stderr
  LogLevel log_level = LogLevel::kWarn;
};

// A plugin file that was found, usable or not.
struct PluginInfo {
  std::string id, version, abi, description;
  std::filesystem::path file;
  std::string state;         // "ok", "unavailable", "incompatible", "untrusted", …
  std::string reason, hint;  // why it is not ok, and what to do
  std::vector<std::string> methods;
  std::vector<std::string> packages;  // "bitsandbytes 0.50.2 (cpu)"
};

struct MethodOption {
  std::string name, type, default_value, help;  // the default as JSON; "null" when there is none
};

struct MethodInfo {
  std::string name;          // for LoadOptions::method
  std::string quant_method;  // as checkpoints call it
  std::string plugin;
  bool requires_calibration = false;
  std::vector<std::string> required_packages;  // "bitsandbytes>=0.39.0"
  std::vector<MethodOption> options;
};

struct SearchFolder {
  std::filesystem::path path;
  std::string origin;  // "--plugin-path", "QUANTHOST_PLUGIN_PATH", "user data", "system", …
};

// Stops work from another thread or from a signal handler. Copies share one state.
class QUANTHOST_API CancelSource {
 public:
  CancelSource();
  void cancel() noexcept;
  bool cancelled() const noexcept;
  void reset() noexcept;  // for the next piece of work

 private:
  friend struct CancelAccess;
  struct QUANTHOST_LOCAL State;
  std::shared_ptr<State> state_;
};

struct ProgressReport {
  std::string stage;    // "load", "quantize", "save", or what a plugin names its own
  std::string unit;     // "bytes", "layers", …
  std::string current;  // the tensor, layer or file at hand
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  double seconds = 0;           // since the stage began
  double units_per_second = 0;  // 0: not known yet
  double seconds_left = -1;     // below 0: not known yet
  bool stage_ended = false;
};
// At most every 50 ms, and at each stage's begin and end. False stops the work, which then throws
// kCancelled.
using ProgressCallback = std::function<bool(const ProgressReport&)>;

struct LoadOptions {
  std::string method;  // quantize with it while loading; empty: load as stored
  // Options of the method by name; values as YAML: {"bits", "4"}, {"bnb_4bit_quant_type", "nf4"}.
  std::vector<std::pair<std::string, std::string>> settings;
  std::filesystem::path quantization_file;  // YAML or JSON; instead of the two above
  std::string device_map;  // "auto", "balanced", …, a device, JSON or a file; empty: all on the CPU
  std::string max_memory;             // "0=10GiB,cpu=30GiB"
  std::string dtype = "auto";         // as stored; or "float32", "bfloat16", "float16"
  std::uint64_t max_queue_bytes = 0;  // read ahead at most; 0: 256 MiB
  std::filesystem::path offload_folder;
  // False: every tensor is read into memory instead of being used where it lies in its file.
  bool map_files = true;
  // For a float32 model that only runs: matrices that are stored in a smaller type stay in it and
  // are widened as they are used. The same results from half the memory.
  bool keep_small_types = false;
  ProgressCallback progress;
  CancelSource cancel;
};

struct SaveOptions {
  std::uint64_t max_shard_bytes = 50'000'000'000;
  ProgressCallback progress;
  CancelSource cancel;
};

struct ModelInfo {
  std::filesystem::path source;
  std::string architecture;       // "LlamaForCausalLM"; of a model of your own: its class name
  std::string method, plugin;     // empty: not quantized
  std::string dtype;              // "bfloat16": of what is not quantized
  std::string device_map;         // JSON
  std::uint64_t model_bytes = 0;  // parameters, buffers and quantized state
  std::uint64_t bytes_read = 0;
  double load_seconds = 0;
  bool serializable = true, trainable = false;  // as the method says
};

struct ChatMessage {
  std::string role, content;
};

// Sees each piece of text as it becomes certain, and the token that completed it. False ends the
// generation.
using TextCallback = std::function<bool(std::string_view text, std::int64_t token)>;

// Unset values (below 0) come from the model's generation_config.json.
struct GenerateOptions {
  std::int64_t max_new_tokens = 128;
  bool greedy = false;      // always the likeliest token, whatever else is set
  double temperature = -1;  // above 0 samples; 0 is greedy
  std::int64_t top_k = -1;
  double top_p = -1;
  double repetition_penalty = -1;
  std::uint64_t seed = 0;
  std::vector<std::string> stop;  // ends before one of these texts
  TextCallback on_text;
  CancelSource cancel;  // ends with StopReason::kCancelled and what was written until then
};

enum class StopReason { kEndOfText = 0, kStopText = 1, kLength = 2, kCallback = 3, kCancelled = 4 };

struct Generation {
  std::string text;
  std::vector<std::int64_t> tokens;  // new ones only
  std::int64_t prompt_tokens = 0;
  double prefill_seconds = 0, decode_seconds = 0;
  std::int64_t decode_steps = 0;
  StopReason stop_reason = StopReason::kLength;
};

// Names are those of forward()'s arguments in transformers: input_ids, attention_mask,
// position_ids, token_type_ids, pixel_values.
struct NamedTensor {
  std::string_view name;
  const at::Tensor& tensor;
};
struct NamedDlpack {
  std::string_view name;
  DLManagedTensorVersioned* tensor;  // borrowed; its memory is only read
};

class QUANTHOST_API Model {
 public:
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  ModelInfo info() const;

  // Text. A model without a tokenizer, or without a chat template, fails with kOs or kValue.
  std::vector<std::int64_t> encode(std::string_view text, bool add_special_tokens = true) const;
  std::string decode(const std::vector<std::int64_t>& tokens,
                     bool show_special_tokens = false) const;
  std::vector<std::int64_t> encode_chat(const std::vector<ChatMessage>& messages) const;

  Generation generate(std::string_view prompt, const GenerateOptions& options = {});
  Generation generate(const std::vector<ChatMessage>& messages,
                      const GenerateOptions& options = {});
  Generation generate(const std::vector<std::int64_t>& prompt, const GenerateOptions& options = {});

  // Logits, or the last hidden state of a model without a head. Computed without gradients: clone()
  // the result to use it in autograd.
  at::Tensor forward(const at::Tensor& main_input);
  at::Tensor forward(const std::vector<NamedTensor>& inputs);
  // The caller owns the result and calls its deleter.
  DLManagedTensorVersioned* forward_dlpack(const std::vector<NamedDlpack>& inputs);

  // A directory that transformers can load too; it appears whole or not at all.
  void save(const std::filesystem::path& directory, const SaveOptions& options = {});
  // Every quantized layer becomes a plain one. `dtype` empty: the model's own.
  void dequantize(const std::string& dtype = {});

 private:
  friend class Host;
  friend struct ModelAccess;
  struct QUANTHOST_LOCAL State;
  explicit Model(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

struct OwnModelOptions {
  std::string method;
  std::vector<std::pair<std::string, std::string>> settings;
  std::filesystem::path quantization_file;
  std::string name = "model";    // in messages
  std::string config = "{}";     // JSON, what config.json would hold
  std::string output_embedding;  // full name of the head, which methods leave as it is by default
  ProgressCallback progress;
  CancelSource cancel;
};

// The application's own model with quantized layers in it. The modules work on without it; it is
// needed to save and to dequantize.
class QUANTHOST_API QuantizedModule {
 public:
  QuantizedModule(QuantizedModule&&) noexcept;
  QuantizedModule& operator=(QuantizedModule&&) noexcept;
  ~QuantizedModule();

  ModelInfo info() const;
  std::vector<std::string> quantized_layers() const;  // full names
  // model.safetensors and config.json with the quantization config.
  void save(const std::filesystem::path& directory, const SaveOptions& options = {});
  void dequantize(const std::string& dtype = {});

 private:
  friend class Host;
  struct QUANTHOST_LOCAL State;
  explicit QuantizedModule(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

class QUANTHOST_API Host {
 public:
  explicit Host(HostOptions options = {});
  Host(Host&&) noexcept;
  Host& operator=(Host&&) noexcept;
  ~Host();  // models that were loaded live on

  // Read from the files alone; no plugin's code runs.
  std::vector<PluginInfo> plugins() const;
  std::vector<MethodInfo> methods() const;  // of usable plugins
  std::vector<SearchFolder> search_path() const;

  Model load(const std::filesystem::path& model_folder, const LoadOptions& options = {});
  // One pass over the checkpoint: each part is written as soon as it is quantized, so that the
  // model is never in memory at once (methods that calibrate hold it). A method that cannot be
  // saved, a wrong option and a folder that would not be replaced are refused before a tensor is
  // read. A checkpoint that is quantized already is written again as it is when no method is named.
  // The load's cancel counts until all is written, and so does its progress unless `save` has its
  // own.
  ModelInfo quantize(const std::filesystem::path& model_folder,
                     const std::filesystem::path& out_folder, const LoadOptions& options,
                     const SaveOptions& save = {});
  // Replaces the layers that the method wants, in a tree of quanthost::model modules (see
  // <quanthost/model/layers.hpp>) whose parameters have values. On failure the tree is as it was.
  // Parameters of other layers keep their values, types and gradients, and gradients flow through
  // the quantized layers when the method is trainable.
  QuantizedModule quantize(const std::shared_ptr<model::Module>& root,
                           const OwnModelOptions& options);

 private:
  struct QUANTHOST_LOCAL State;
  std::shared_ptr<State> state_;
};

}  // namespace api
}  // namespace quanthost
