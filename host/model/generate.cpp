#include "host/model/generate.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>

#include "host/base/error.hpp"
#include "host/model/sampler.hpp"

namespace quanthost::model {
namespace {

using Prompts = std::vector<std::vector<std::int64_t>>;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void check(Model& model, const Prompts& prompts, const GenerationOptions& options) {
  if (!model.has_head() || model.info().output_embeddings.empty()) {
    fail(ErrorKind::kValue, "{} cannot generate text: it has no language-model head",
         model.root().class_name());
  }
  if (prompts.empty()) fail(ErrorKind::kValue, "there is no prompt");
  for (const auto& prompt : prompts) {
    if (prompt.empty()) fail(ErrorKind::kValue, "a prompt has no tokens");
    for (std::int64_t id : prompt) {
      if (id < 0 || id >= model.config().vocab_size) {
        fail(ErrorKind::kValue, "token {} is not in the model's vocabulary of {}", id,
             model.config().vocab_size);
      }
    }
  }
  if (!options.stop_strings.empty()) {
    fail(ErrorKind::kValue, "stop string '{}': generating token ids cannot see text",
         options.stop_strings.front());
  }
  if (options.sample && !(options.temperature > 0.0)) {
    fail(ErrorKind::kValue, "temperature is {}, sampling needs more than 0", options.temperature);
  }
  if (!(options.repetition_penalty > 0.0)) {
    fail(ErrorKind::kValue, "repetition_penalty is {}, more than 0 is needed",
         options.repetition_penalty);
  }
}

ModelInputs padded(const Prompts& prompts, std::int64_t pad_id) {
  const auto rows = static_cast<std::int64_t>(prompts.size());
  const auto longest = static_cast<std::int64_t>(
      std::ranges::max(prompts, {}, &std::vector<std::int64_t>::size).size());
  ModelInputs inputs;
  inputs.input_ids = at::full({rows, longest}, pad_id, at::kLong);
  inputs.attention_mask = at::zeros({rows, longest}, at::kLong);
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto& prompt = prompts[static_cast<std::size_t>(row)];
    const auto count = static_cast<std::int64_t>(prompt.size());
    inputs.input_ids[row].narrow(0, longest - count, count).copy_(at::tensor(prompt, at::kLong));
    inputs.attention_mask[row].narrow(0, longest - count, count).fill_(1);
  }
  inputs.position_ids = (inputs.attention_mask.cumsum(1) - 1).clamp_min(0);
  return inputs;
}

// One row of the sequence that is being written.
struct Row {
  std::vector<std::int64_t> seen;
  Sampler sampler;
  bool finished = false;
};

class Run {
 public:
  Run(const Prompts& prompts, const GenerationOptions& options, const TokenCallback& on_token,
      Generation& result)
      : options_(options), on_token_(on_token), result_(result) {
    for (std::size_t row = 0; row < prompts.size(); ++row) {
      GenerationOptions own = options;
      own.seed += row;  // rows with the same prompt must not repeat each other
      rows_.push_back({prompts[row], Sampler(own)});
      result.prompt_tokens += static_cast<std::int64_t>(prompts[row].size());
    }
    result.tokens.resize(prompts.size());
  }

  // Takes the last logits of each row, gives the next input ids [rows, 1].
  at::Tensor next(const at::Tensor& logits) {
    const at::Tensor last =
        logits.select(1, logits.size(1) - 1).to(at::kCPU, at::kFloat).contiguous();
    at::Tensor ids = at::full({last.size(0), 1}, options_.pad_id, at::kLong);
    for (std::size_t index = 0; index < rows_.size(); ++index) {
      if (rows_[index].finished) continue;
      const float* values =
          last.const_data_ptr<float>() + static_cast<std::int64_t>(index) * last.size(1);
      std::vector<float> scores(values, values + last.size(1));
      const std::int64_t token = rows_[index].sampler.next(scores, rows_[index].seen);
      ids.mutable_data_ptr<std::int64_t>()[index] = token;
      take(index, token);
    }
    return ids;
  }

  bool finished() const { return std::ranges::all_of(rows_, &Row::finished); }

 private:
  void take(std::size_t index, std::int64_t token) {
    Row& row = rows_[index];
    row.seen.push_back(token);
    result_.tokens[index].push_back(token);
    const bool wanted = !on_token_ || on_token_(index, token);
    const bool ended = std::ranges::find(options_.stop_ids, token) != options_.stop_ids.end();
    const bool full =
        static_cast<std::int64_t>(result_.tokens[index].size()) >= options_.max_new_tokens;
    row.finished = !wanted || ended || full;
  }

  GenerationOptions options_;
  const TokenCallback& on_token_;
  Generation& result_;
  std::vector<Row> rows_;
};

void add_ids(const Json& config, std::vector<std::int64_t>& ids) {
  const auto found = config.find("eos_token_id");
  if (found == config.end()) return;
  for (const Json& id : found->is_array() ? *found : Json::array({*found})) {
    if (id.is_number_integer()) ids.push_back(id.get<std::int64_t>());
  }
}

// One string or a list of them, as transformers takes both.
void add_stop_strings(const Json& config, std::vector<std::string>& stops) {
  const auto found = config.find("stop_strings");
  if (found == config.end()) return;
  for (const Json& stop : found->is_array() ? *found : Json::array({*found})) {
    if (stop.is_string() && stop != "") stops.push_back(stop.get<std::string>());
  }
}

template <class T>
void read_into(const Json& config, const char* key, T& value) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return;
  try {
    value = found->get<T>();
  } catch (const Json::type_error&) {
    fail(ErrorKind::kType, "generation_config.json: '{}' is {}", key, found->dump());
  }
}

void follow(const GenerationWishes& wishes, GenerationOptions& options) {
  if (wishes.temperature) options.sample = (options.temperature = *wishes.temperature) > 0;
  options.top_k = wishes.top_k.value_or(options.top_k);
  options.top_p = wishes.top_p.value_or(options.top_p);
  options.repetition_penalty = wishes.repetition_penalty.value_or(options.repetition_penalty);
  if (wishes.greedy) options.sample = false;
}

}  // namespace

GenerationOptions generation_options(const Json& config, const Json* generation_config,
                                     const GenerationWishes& wishes) {
  GenerationOptions options;
  if (generation_config) {
    add_ids(*generation_config, options.stop_ids);
    add_stop_strings(*generation_config, options.stop_strings);
    read_into(*generation_config, "do_sample", options.sample);
    read_into(*generation_config, "temperature", options.temperature);
    read_into(*generation_config, "top_k", options.top_k);
    read_into(*generation_config, "top_p", options.top_p);
    read_into(*generation_config, "repetition_penalty", options.repetition_penalty);
    read_into(*generation_config, "pad_token_id", options.pad_id);
  }
  if (options.stop_ids.empty()) add_ids(config, options.stop_ids);
  follow(wishes, options);
  return options;
}

Generation generate(Model& model, const Prompts& prompts, const GenerationOptions& options,
                    const TokenCallback& on_token) {
  check(model, prompts, options);
  Generation result;
  if (options.max_new_tokens <= 0) return result;
  const c10::InferenceMode no_gradients;
  Run run(prompts, options, on_token, result);
  ModelInputs inputs = padded(prompts, options.pad_id);
  const at::Tensor positions = inputs.position_ids;
  const std::int64_t longest = positions.size(1);

  KvCache cache(model.config(), positions.size(0), longest + options.max_new_tokens - 1,
                model.hidden_options());
  const auto start = std::chrono::steady_clock::now();
  at::Tensor ids = run.next(model.forward(inputs, &cache, /*logits_to_keep=*/1));
  result.prefill_seconds = seconds_since(start);

  at::Tensor position = positions.narrow(1, longest - 1, 1);
  const auto decode_start = std::chrono::steady_clock::now();
  while (!run.finished()) {
    position = position + 1;
    ids = run.next(model.forward({.input_ids = ids, .position_ids = position}, &cache, 1));
    ++result.steps;
  }
  result.decode_seconds = seconds_since(decode_start);
  return result;
}

}  // namespace quanthost::model
