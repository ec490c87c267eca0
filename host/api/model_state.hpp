// What stands behind Model: a loaded model and everything that its layers go on using.
#pragma once

#include <optional>

#include "host/api/host_state.hpp"
#include "host/load/save.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::api {

// Members are destroyed from the last to the first: what was loaded before what it reports to.
struct Loaded {
  Loaded(std::shared_ptr<const log::Destination> log_to, ProgressCallback progress,
         CancelSource cancel)
      : log(std::move(log_to)),
        watched(std::make_shared<Watched>(std::move(progress), std::move(cancel))) {}
  ~Loaded() {
    const log::Scope logging(log.get());  // plugins may have something to say when they end
    model.reset();
  }

  std::shared_ptr<const log::Destination> log;
  std::shared_ptr<Watched> watched;
  std::filesystem::path source;
  std::optional<LoadedModel> model;
};

// For the time of one call: the model's turn, and its log.
class Call {
 public:
  Call(const Loaded& loaded, Turns& turns) : turn_(turns, "model"), logging_(loaded.log.get()) {}

 private:
  Turns::Turn turn_;
  log::Scope logging_;
};

struct Model::State : Loaded {
  using Loaded::Loaded;
  const text::Tokenizer& tokenizer();  // read when first asked for

  Turns turns;

 private:
  std::optional<text::Tokenizer> tokenizer_;
};

// What the pipeline takes; `watched` is the progress and the cancel of this save.
quanthost::SaveOptions save_options(const SaveOptions& options, Watched& watched);
void save_loaded(LoadedModel& model, const std::filesystem::path& directory,
                 const SaveOptions& options);
void dequantize_loaded(LoadedModel& model, const std::string& dtype);
ModelInfo info_of(const Loaded& loaded, const std::string& architecture);

}  // namespace quanthost::api
