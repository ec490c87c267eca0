// Block-wise calibration, as the package `optimum` does it: the data's rows pass through the model
// block by block; a quantizer sees the inputs of the layers it chooses and changes the block before
// the rows go on.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/load/calibration/activations.hpp"
#include "host/load/calibration/batches.hpp"
#include "host/load/calibration/block_passes.hpp"
#include "host/load/calibration/journal.hpp"
#include "host/load/calibration/original_model.hpp"
#include "host/load/model_context.hpp"
#include "host/load/session.hpp"
#include "host/model/rope.hpp"

namespace quanthost {

struct CalibrationOptions {
  CalibrationDataRequest data;  // vocabulary and, when it is 0, sequence_length come from the model
  std::string tokenizer;        // empty: the model's own
  std::string block_prefix;     // empty: found
  std::filesystem::path journal;  // empty: none
};

// One thread uses it. What it computes does not depend on the number of threads.
class CalibrationRun {
 public:
  // The input of one layer for one batch, [tokens, in_features].
  using OnInput = std::function<void(const std::string& layer, const at::Tensor& input,
                                     std::size_t batch, std::size_t samples)>;

  // The same, and the input that these tokens have in the original model; undefined: the layer is
  // given other tokens there.
  using OnInputs =
      std::function<void(const std::string& layer, const at::Tensor& input,
                         const at::Tensor& original, std::size_t batch, std::size_t samples)>;

  // Reads the data and embeds it. Session and model outlive the run.
  CalibrationRun(Session& session, ModelContext& model, const CalibrationOptions& options);

  qh_calibration* abi() { return reinterpret_cast<qh_calibration*>(this); }
  static CalibrationRun& from_abi(qh_calibration* run) {
    return *reinterpret_cast<CalibrationRun*>(run);
  }

  std::size_t block_count() const { return layers_.size(); }
  std::string block_name(std::size_t block) const;
  const std::vector<std::string>& layers(std::size_t block) const;

  // Runs every batch through the block, as far as the chosen layers need it, and hands over their
  // inputs: batch after batch, and within one in the order of `layers`. A layer that a batch does
  // not reach (an expert) is left out for it. The block must be the one whose inputs are at hand.
  void run_block(const Exec& exec, std::size_t block, const std::vector<std::string>& layers,
                 const OnInput& on_input);
  // From now on the rows pass through the model as it is now, too. Before the first block is run.
  void keep_original();
  void run_block_beside_original(const Exec& exec, std::size_t block,
                                 const std::vector<std::string>& layers, const OnInputs& on_inputs);
  // Runs the block as it is now and keeps its outputs as the inputs of the next one.
  void advance(const Exec& exec, std::size_t block);

  Journal* journal() { return journal_.get(); }  // null: there is none
  const Activations& activations() const { return *activations_; }

 private:
  struct Row {
    CalibrationRow data;
    std::size_t batch;
    std::int64_t rope_length = 0;  // see DynamicRopeLength; 0: frequencies depend on no length
  };
  using Captured = BlockPasses::Captured;
  static constexpr std::size_t kInterrupted = static_cast<std::size_t>(-1);

  void list_blocks(const std::string& prefix);
  void read_data(const CalibrationOptions& options);
  void embed(const Session& session);
  BlockPasses& passes(std::size_t block);  // of the current block
  std::unique_ptr<BlockPasses> new_passes(std::size_t block);
  void open_journal(const Session& session, const CalibrationOptions& options);
  model::ModelInputs inputs_of(const Row& row) const;
  model::BlockInputs shared_of(const Row& row);
  model::BlockInputs prepared_for(const Row& row) const;
  // `original` null: rows pass through the quantized model alone.
  void capture_inputs(const Exec& exec, std::size_t block, const std::vector<std::string>& chosen,
                      OriginalModel* original, const OnInputs& on_inputs);
  std::vector<Captured> capture_wave(const BlockPasses::Pass& pass, const Activations& activations,
                                     std::size_t block, at::Device device, std::size_t first,
                                     std::size_t last);
  struct Wave {
    std::size_t first;                         // row
    std::vector<Captured> captured, original;  // of each row; original: may be empty
  };
  void hand_over(Wave& wave, const std::vector<std::string>& chosen,
                 const OnInputs& on_inputs) const;
  void hand_over_batch(Wave& wave, std::size_t begin, std::size_t end,
                       const std::vector<std::string>& chosen, const OnInputs& on_inputs) const;
  bool are_the_same_tokens(std::size_t row, const at::Tensor& a, const at::Tensor& b) const;
  void need_current(std::size_t block) const;
  at::Tensor block_output(std::size_t block, std::size_t row, const Activations& activations,
                          at::Device device);
  void advance_rows(const Exec& exec, std::size_t block, BlockPasses& passes,
                    Activations& activations);
  at::Device device_of(std::size_t block, const Exec& exec);
  std::size_t last_row_of_wave(std::size_t first) const;
  void for_rows(at::Device device, std::size_t begin, std::size_t end,
                const std::function<void(std::size_t row)>& body) const;
  std::uint64_t activation_budget(const Session& session) const;

  ModelContext& model_;
  std::vector<std::vector<std::string>> layers_;  // of each block
  std::vector<Row> rows_;                         // those of a batch follow one another
  std::size_t batches_ = 0;
  const model::RotaryEmbedding* rotary_ = nullptr;  // null: frequencies are always the same
  // Of rows without padding, by length and rope_length.
  std::map<std::pair<std::size_t, std::int64_t>, model::BlockInputs> shared_;
  std::unique_ptr<Activations> activations_;  // the inputs of block current_
  std::unique_ptr<MemoryBudget> budget_;      // what the activations leave of theirs
  std::unique_ptr<BlockPasses> passes_;       // through block current_; null: none yet
  std::vector<std::uint64_t> row_bytes_;      // of the hidden states
  std::filesystem::path folder_;              // for those that have no room in memory
  std::unique_ptr<OriginalModel> original_;   // null: nobody asked for it
  std::unique_ptr<Journal> journal_;
  std::size_t current_ = 0;  // kInterrupted: advance failed midway
};

}  // namespace quanthost
