// A model opened for a verb: flags in, model out, with progress, Ctrl-C and the trace file looked
// after. The only header here that shows LibTorch.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "host/cli/model_verbs/model_verb.hpp"
#include "host/load/loader.hpp"

namespace quanthost::text {
class Tokenizer;
}

namespace quanthost::cli {

// What the user may say about a load.
struct ModelOptions {
  std::string path, method, quant_file, device_map, max_memory, dtype = "auto", max_queue,
                                                                trace_file, threads, offload_folder;
  std::vector<std::string> settings;
  bool no_mmap = false;
};
void add_model_options(Verb& verb, ModelOptions& options);

// One load, in its two steps. The model it gives uses this object's progress and trace, so it must
// not outlive it.
class LoadSession {
 public:
  LoadSession(Session& session, const ModelOptions& options);
  LoadSession(const LoadSession&) = delete;
  LoadSession& operator=(const LoadSession&) = delete;
  ~LoadSession();  // writes the trace

  LoadedModel plan();
  void run(LoadedModel& loaded) { run_load(loaded, load_); }
  LoadOptions& options() { return load_; }  // may be changed until run()
  Progress& progress() { return progress_; }
  Trace* trace() { return load_.trace; }

 private:
  Session& session_;
  const std::string trace_file_;
  Progress progress_;
  Trace trace_;
  LoadOptions load_;
};

struct OpenedModel {
  std::unique_ptr<LoadSession> session;  // outlives what was loaded
  std::unique_ptr<LoadedModel> loaded;
  std::filesystem::path folder;
  std::shared_ptr<Checkpoint> checkpoint;
  model::Model* model = nullptr;  // loaded's
  double load_seconds = 0;
};

// To be asked for before the model: a folder without one is refused before anything large is read.
text::Tokenizer load_tokenizer(const std::string& model);

OpenedModel open_model(Session& session, const ModelOptions& options);

}  // namespace quanthost::cli
