#include "host/load/calibration/calibration_run.hpp"

#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "host/base/log.hpp"
#include "host/base/sha256.hpp"
#include "host/load/calibration/blocks.hpp"
#include "host/load/calibration/model_identity.hpp"
#include "host/load/calibration/row_loop.hpp"
#include "host/load/devices.hpp"

namespace quanthost {
namespace {

constexpr double kShareOfFreeMemory = 0.8;  // for activations, when no limit is given

at::Tensor row_tensor(const std::vector<std::int64_t>& values, at::Device device) {
  return at::tensor(values, at::kLong).unsqueeze(0).to(device);
}

at::Device device_holding(torch::nn::Module& module, at::Device fallback) {
  for (const at::Tensor& parameter : module.parameters()) {
    if (parameter.defined()) return parameter.device();
  }
  return fallback;
}

void need_text_model(const ModelContext& model) {
  if (model.info().main_input_name == "input_ids") return;
  throw Error(ErrorKind::kRuntime,
              fmt::format("only text models can be calibrated: the main input of this one is '{}'",
                          model.info().main_input_name),
              "use a method that needs no calibration");
}

// Of its parameters that no plugin holds.
std::string element_type_of(ModelContext& model) {
  for (const ModelTensor& tensor : model.tensors()) {
    if (!tensor.plugin && !tensor.is_buffer) return name_of(tensor.dtype);
  }
  return "";
}

// Null: the model rotates nothing, or by frequencies that depend on no length.
const model::RotaryEmbedding* dynamic_rotary_of(ModelContext& model) {
  for (const model::ModuleEntry& entry : model::walk_modules(model.root())) {
    const auto* rotary = dynamic_cast<const model::RotaryEmbedding*>(entry.module);
    if (rotary && rotary->dynamic()) return rotary;
  }
  return nullptr;
}

}  // namespace

CalibrationRun::CalibrationRun(Session& session, ModelContext& model,
                               const CalibrationOptions& options)
    : model_(model) {
  const c10::InferenceMode inference;
  need_text_model(model);
  rotary_ = dynamic_rotary_of(model);
  list_blocks(options.block_prefix);
  read_data(options);
  open_journal(session, options);
  embed(session);
}

void CalibrationRun::list_blocks(const std::string& prefix) {
  const auto modules = model_.modules();
  const std::string chosen = prefix.empty() ? find_block_prefix(modules) : prefix;
  if (chosen != model_.info().blocks) {
    throw Error(ErrorKind::kValue,
                fmt::format("{} is not this model's list of blocks, which is {}", chosen,
                            model_.info().blocks),
                fmt::format("set block_name_to_quantize to {}", model_.info().blocks));
  }
  for (std::size_t block = 0; block < model_.model().block_count(); ++block)
    layers_.push_back(linear_layers_in(modules, block_name(block)));
}

void CalibrationRun::read_data(const CalibrationOptions& options) {
  const model::ModelConfig& config = model_.model().config();
  CalibrationDataRequest request = options.data;
  request.vocabulary = config.vocab_size;
  if (request.sequence_length == 0) {
    request.sequence_length =
        std::min(kLongestSample, static_cast<std::uint64_t>(config.max_positions));
  }
  auto batches =
      read_calibration_batches(request, [&] { return model_.tokenizers().get(options.tokenizer); });
  const bool learned_positions = config.family->structure == model::Structure::kGpt2 ||
                                 config.family->structure == model::Structure::kOpt;
  model::DynamicRopeLength lengths(config.max_positions);
  for (CalibrationBatch& batch : batches) {
    const std::int64_t rope_length =
        rotary_ ? lengths.next(static_cast<std::int64_t>(batch.front().ids.size())) : 0;
    for (CalibrationRow& row : batch) {
      if (learned_positions && static_cast<std::int64_t>(row.ids.size()) > config.max_positions) {
        throw Error(ErrorKind::kValue,
                    fmt::format("dataset: a sample has {} tokens, the model has {} positions",
                                row.ids.size(), config.max_positions),
                    "set model_seqlen to at most that, or give shorter samples");
      }
      rows_.push_back({std::move(row), batches_, rope_length});
    }
    ++batches_;
  }
}

// Everything that the results depend on. The journal's own place is no part of it.
void CalibrationRun::open_journal(const Session& session, const CalibrationOptions& options) {
  if (options.journal.empty()) return;
  Json data = Json::array();
  for (const Row& row : rows_) data.push_back({row.batch, row.data.ids, row.data.mask});
  Json method = session.method;
  for (auto& [name, value] : method["config"].items()) {
    if (value == Json(options.journal.string())) value = nullptr;
  }
  const Checkpoint* const checkpoint = model_.checkpoint();
  const std::string tensors = checkpoint ? model_identity(*checkpoint) : "";
  const std::string samples = data.dump();
  journal_ = std::make_unique<Journal>(options.journal,
                                       Json{{"data", sha256_hex(std::as_bytes(std::span(samples)))},
                                            {"method", method},
                                            {"model",
                                             {{"config", model_.config()},
                                              {"dtype", element_type_of(model_)},
                                              {"tensors", tensors}}}});
}

// The first row tells how wide the others are.
void CalibrationRun::embed(const Session& session) {
  const at::Tensor first = model_.model().prepare(inputs_of(rows_.front())).hidden;
  for (const Row& row : rows_) {
    row_bytes_.push_back(row.data.ids.size() * static_cast<std::uint64_t>(first.size(-1)) *
                         first.element_size());
    if (!row.data.padded()) shared_of(row);  // filled now: later several threads read it
  }
  folder_ = session.offload_folder.empty() ? std::filesystem::temp_directory_path()
                                           : session.offload_folder;
  const std::uint64_t budget = activation_budget(session);
  activations_ = std::make_unique<Activations>(row_bytes_, budget, folder_);
  budget_ = std::make_unique<MemoryBudget>(budget - activations_->bytes_in_memory());
  if (activations_->bytes_on_disk() > 0) {
    log::info("calibration", "{:.2f} GB of activations go to {}",
              static_cast<double>(activations_->bytes_on_disk()) / 1e9, folder_.string());
  }
  for_rows(first.device(), 0, rows_.size(), [&](std::size_t row) {
    activations_->put(row, model_.model().prepare(inputs_of(rows_[row])).hidden);
  });
}

std::uint64_t CalibrationRun::activation_budget(const Session& session) const {
  double budget = free_bytes("cpu") * kShareOfFreeMemory;
  for (const auto& [device, limit] : session.max_memory) {
    if (device == "cpu") budget = limit - static_cast<double>(model_.bytes());
  }
  return static_cast<std::uint64_t>(std::max(budget, 0.0));
}

at::Device CalibrationRun::device_of(std::size_t block, const Exec& exec) {
  return device_holding(model_.model().block(block), exec.memory());
}

model::ModelInputs CalibrationRun::inputs_of(const Row& row) const {
  torch::nn::Module* embedding = model::find_module(model_.root(), model_.info().input_embeddings);
  const at::Device device = embedding ? device_holding(*embedding, at::kCPU) : at::Device(at::kCPU);
  model::ModelInputs inputs;
  inputs.input_ids = row_tensor(row.data.ids, device);
  if (row.data.padded()) inputs.attention_mask = row_tensor(row.data.mask, device);
  return inputs;
}

model::BlockInputs CalibrationRun::prepared_for(const Row& row) const {
  model::BlockInputs shared = model_.model().prepare(inputs_of(row)).shared;
  if (rotary_) {
    std::tie(shared.cos, shared.sin) =
        rotary_->angles(shared.position_ids, shared.cos.scalar_type(), row.rope_length);
  }
  return shared;
}

// What the blocks need besides the hidden states depends on the lengths alone, unless there is
// padding.
model::BlockInputs CalibrationRun::shared_of(const Row& row) {
  if (row.data.padded()) return prepared_for(row);
  const std::pair key{row.data.ids.size(), row.rope_length};
  const auto found = shared_.find(key);
  if (found != shared_.end()) return found->second;
  return shared_[key] = prepared_for(row);
}

std::string CalibrationRun::block_name(std::size_t block) const {
  return model_.model().block_name(block);
}

const std::vector<std::string>& CalibrationRun::layers(std::size_t block) const {
  if (block < layers_.size()) return layers_[block];
  fail(ErrorKind::kKey, "block {}: the model has {} blocks", block, layers_.size());
}

}  // namespace quanthost
