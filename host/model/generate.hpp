// Text generation: which token comes next, for a batch of prompts, until something says stop.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "host/model/model.hpp"

namespace quanthost::model {

struct GenerationOptions {
  std::int64_t max_new_tokens = 128;
  bool sample = false;  // false: always the likeliest token
  double temperature = 1.0;
  std::int64_t top_k = 50;  // 0: all
  double top_p = 1.0;
  double repetition_penalty = 1.0;
  std::uint64_t seed = 0;
  std::vector<std::int64_t> stop_ids;  // end-of-sequence tokens; the one met is part of the result
  std::vector<std::string> stop_strings;  // for generate_text() alone: they need a tokenizer
  std::int64_t pad_id = 0;
};

// What somebody asks for in place of what the model's own files say. Unset: as they say.
struct GenerationWishes {
  std::optional<double> temperature;  // above 0 samples; 0 takes the likeliest token
  std::optional<std::int64_t> top_k;
  std::optional<double> top_p;
  std::optional<double> repetition_penalty;
  bool greedy = false;  // the likeliest token, whatever else is set
};

// What generation_config.json, or config.json where that is silent, sets: sampling values, end
// tokens and stop strings. transformers samples when do_sample says so; so does the result.
GenerationOptions generation_options(const Json& config, const Json* generation_config,
                                     const GenerationWishes& wishes = {});

// Sees each new token of each row as it comes, on the calling thread. False ends that row.
using TokenCallback = std::function<bool(std::size_t row, std::int64_t token)>;

struct Generation {
  std::vector<std::vector<std::int64_t>> tokens;  // new ones only, a list a row
  std::int64_t prompt_tokens = 0;                 // of all rows, without padding
  std::int64_t steps = 0;                         // forwards after the first
  double prefill_seconds = 0.0;
  double decode_seconds = 0.0;
};

// Prompts of different lengths are padded on the left. Throws kValue for an empty prompt, for ids
// beyond the vocabulary, for stop strings and when the model has no head.
Generation generate(Model& model, const std::vector<std::vector<std::int64_t>>& prompts,
                    const GenerationOptions& options, const TokenCallback& on_token = {});

}  // namespace quanthost::model
