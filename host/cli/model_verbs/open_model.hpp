// A model opened for a verb, with what is beside it. The only header here that shows LibTorch.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "host/checkpoint/checkpoint.hpp"
#include "host/cli/model_verbs/model_verb.hpp"
#include "host/model/model.hpp"

namespace quanthost::cli {

// What the user may say about a load.
struct ModelOptions {
  std::string path, dtype = "auto", threads;
};
void add_model_options(Verb& verb, ModelOptions& options);

struct OpenedModel {
  std::filesystem::path folder;
  std::shared_ptr<Checkpoint> checkpoint;
  std::unique_ptr<model::Model> model;
  double load_seconds = 0;
};

OpenedModel open_model(Session& session, const ModelOptions& options);

}  // namespace quanthost::cli
