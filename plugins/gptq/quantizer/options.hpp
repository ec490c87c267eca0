// The options of the method, checked, under GPTQConfig's names.
#pragma once

#include <optional>
#include <quanthost/plugin/quantizer.hpp>
#include <string>
#include <vector>

#include "algorithm/solver.hpp"
#include "quantizer/stored_format.hpp"

namespace quanthost::gptq {

// A list of layers that are quantized from the same run of their block, by name within the block.
using LayerSubset = std::vector<std::string>;

struct Options {
  SolverOptions solver;
  Format format = Format::gptq;       // of the checkpoint that is read, or written
  std::optional<Format> save_format;  // of a checkpoint that is read and written again
  bool true_sequential = true;
  std::string dataset_json;          // empty: none given
  std::string dataset_path;          // set when the data set is a file
  std::string tokenizer;             // empty: the model's own
  std::string block_name;            // empty: to be found
  std::string journal;               // empty: none
  std::vector<LayerSubset> subsets;  // empty: every linear layer of a block
  std::int64_t batch_size = 1;
  std::int64_t pad_token_id = -1;
  std::int64_t sample_count = 128;  // of a file
  std::optional<std::int64_t> model_seqlen;
  std::optional<int> exllama_version;  // set when an exllama kernel is asked for
};

// Throws with the kind of error that GPTQConfig raises. Data to calibrate with is only looked at
// where the model is to be quantized. Warnings go to `host`.
Options read_options(const qh::Host& host, const qh::Config& config, bool pre_quantized);

// What transformers' GPTQConfig.to_dict() holds for a model that was quantized with `options`.
std::string saved_config(const qh::Config& config, const Options& options);
// AutoGPTQ's quantize_config.json.
std::string quantize_config_file(const Options& options);

// The double with the shortest decimal that reads back as the same float: 0.1, not 0.10000000149.
double decimal(float value);

}  // namespace quanthost::gptq
