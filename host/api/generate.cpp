// Text in, text out: tokenizer, chat template, and generation with a stream of text.
#include "host/api/model_state.hpp"
#include "host/model/generate_text.hpp"
#include "host/text/chat_template.hpp"

namespace quanthost::api {
namespace {

using Ids = std::vector<std::int64_t>;

Ids wide(const std::vector<text::TokenId>& ids) { return {ids.begin(), ids.end()}; }

template <typename T>
std::optional<T> wish(T value) {
  return value < 0 ? std::nullopt : std::optional<T>(value);
}

model::GenerationOptions generation_of(const GenerateOptions& o, const Checkpoint& checkpoint) {
  model::GenerationOptions g = model::generation_options(
      *checkpoint.config(), checkpoint.generation_config(),
      {wish(o.temperature), wish(o.top_k), wish(o.top_p), wish(o.repetition_penalty), o.greedy});
  g.max_new_tokens = o.max_new_tokens;
  g.seed = o.seed;
  g.stop_strings.insert(g.stop_strings.end(), o.stop.begin(), o.stop.end());
  return g;
}

StopReason reason_of(model::TextEnd end, const CancelSource& cancel) {
  switch (end) {
    case model::TextEnd::kEndOfText:
      return StopReason::kEndOfText;
    case model::TextEnd::kStopString:
      return StopReason::kStopText;
    case model::TextEnd::kCallback:
      return cancel.cancelled() ? StopReason::kCancelled : StopReason::kCallback;
    default:
      return StopReason::kLength;
  }
}

}  // namespace

const text::Tokenizer& Model::State::tokenizer() {
  if (!tokenizer_) tokenizer_ = text::Tokenizer::load(source);
  return *tokenizer_;
}

Ids Model::encode(std::string_view text, bool add_special_tokens) const {
  const Call call(*state_, state_->turns);
  return wide(state_->tokenizer().encode(
      text, add_special_tokens ? text::SpecialTokens::kAdd : text::SpecialTokens::kOmit));
}

std::string Model::decode(const Ids& tokens, bool show_special_tokens) const {
  const Call call(*state_, state_->turns);
  const std::vector<text::TokenId> ids(tokens.begin(), tokens.end());
  return state_->tokenizer().decode(
      ids, show_special_tokens ? text::SpecialTokens::kAdd : text::SpecialTokens::kOmit);
}

Ids Model::encode_chat(const std::vector<ChatMessage>& messages) const {
  const Call call(*state_, state_->turns);
  std::vector<text::ChatMessage> chat;
  for (const ChatMessage& message : messages) chat.push_back({message.role, message.content});
  return wide(state_->tokenizer().encode(text::ChatTemplate::load(state_->source).render(chat),
                                         text::SpecialTokens::kOmit));
}

Generation Model::generate(std::string_view prompt, const GenerateOptions& options) {
  return generate(encode(prompt), options);
}

Generation Model::generate(const std::vector<ChatMessage>& messages,
                           const GenerateOptions& options) {
  return generate(encode_chat(messages), options);
}

Generation Model::generate(const Ids& prompt, const GenerateOptions& options) {
  const Call call(*state_, state_->turns);
  LoadedModel& loaded = *state_->model;
  Generation out;
  if (options.cancel.cancelled()) {
    out.stop_reason = StopReason::kCancelled;
    return out;
  }
  const auto show = [&](std::size_t, std::string_view text, std::int64_t token) {
    const bool wanted = text.empty() || !options.on_text || options.on_text(text, token);
    return wanted && !options.cancel.cancelled();
  };
  model::TextGeneration result =
      model::generate_text(*loaded.model, state_->tokenizer(), {prompt},
                           generation_of(options, *loaded.checkpoint), show);
  out.text = std::move(result.texts.front());
  out.tokens = std::move(result.generation.tokens.front());
  out.prompt_tokens = result.generation.prompt_tokens;
  out.prefill_seconds = result.generation.prefill_seconds;
  out.decode_seconds = result.generation.decode_seconds;
  out.decode_steps = result.generation.steps;
  out.stop_reason = reason_of(result.ends.front(), options.cancel);
  return out;
}

}  // namespace quanthost::api
