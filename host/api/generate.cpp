// Text in, text out: tokenizer, chat template, and generation with a stream of text.
#include "host/model/generate.hpp"

#include "host/api/model_state.hpp"
#include "host/text/chat_template.hpp"
#include "host/text/generated_text.hpp"

namespace quanthost::api {
namespace {

using Ids = std::vector<std::int64_t>;

Ids wide(const std::vector<text::TokenId>& ids) { return {ids.begin(), ids.end()}; }

model::GenerationOptions generation_of(const GenerateOptions& o, const Checkpoint& checkpoint) {
  model::GenerationOptions g =
      model::generation_options(*checkpoint.config(), checkpoint.generation_config());
  g.max_new_tokens = o.max_new_tokens;
  g.seed = o.seed;
  if (o.temperature >= 0) g.sample = (g.temperature = o.temperature) > 0;
  if (o.top_k >= 0) g.top_k = o.top_k;
  if (o.top_p >= 0) g.top_p = o.top_p;
  if (o.repetition_penalty >= 0) g.repetition_penalty = o.repetition_penalty;
  if (o.greedy) g.sample = false;
  return g;
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

namespace {

// What comes of each token: its text, and whether to go on.
class Listener {
 public:
  Listener(const text::Tokenizer& tokenizer, std::vector<std::string> stops,
           const GenerateOptions& options)
      : generated_(tokenizer, std::move(stops)), options_(options) {}

  bool take(std::int64_t token) {
    token_ = token;
    show(generated_.push(static_cast<text::TokenId>(token)));
    if (generated_.stopped()) stopped_ = StopReason::kStopText;
    if (!stopped_ && options_.cancel.cancelled()) stopped_ = StopReason::kCancelled;
    return !stopped_;
  }
  // What was held back comes out at the end.
  void finish() {
    if (stopped_ == StopReason::kCallback) return;
    show(generated_.finish());
  }
  const std::string& text() const { return text_; }
  std::optional<StopReason> stopped() const { return stopped_; }

 private:
  void show(const std::string& piece) {
    if (piece.empty()) return;
    text_ += piece;
    if (options_.on_text && !options_.on_text(piece, token_)) stopped_ = StopReason::kCallback;
  }

  text::GeneratedText generated_;
  const GenerateOptions& options_;
  std::string text_;
  std::int64_t token_ = -1;
  std::optional<StopReason> stopped_;
};

}  // namespace

Generation Model::generate(const Ids& prompt, const GenerateOptions& options) {
  const Call call(*state_, state_->turns);
  LoadedModel& loaded = *state_->model;
  model::GenerationOptions settings = generation_of(options, *loaded.checkpoint);
  std::vector<std::string> stops = std::exchange(settings.stop_strings, {});
  stops.insert(stops.end(), options.stop.begin(), options.stop.end());
  Generation out;
  Listener listener(state_->tokenizer(), std::move(stops), options);
  if (options.cancel.cancelled()) {
    out.stop_reason = StopReason::kCancelled;
    return out;
  }
  model::Generation result =
      model::generate(*loaded.model, {prompt}, settings,
                      [&](std::size_t, std::int64_t token) { return listener.take(token); });
  listener.finish();
  out.text = listener.text();
  if (!result.tokens.empty()) out.tokens = std::move(result.tokens.front());
  out.prompt_tokens = result.prompt_tokens;
  out.prefill_seconds = result.prefill_seconds;
  out.decode_seconds = result.decode_seconds;
  out.decode_steps = result.steps;
  const std::vector<std::int64_t>& ends = settings.stop_ids;
  const bool ended =
      !out.tokens.empty() && std::find(ends.begin(), ends.end(), out.tokens.back()) != ends.end();
  out.stop_reason =
      listener.stopped().value_or(ended ? StopReason::kEndOfText : StopReason::kLength);
  return out;
}

}  // namespace quanthost::api
