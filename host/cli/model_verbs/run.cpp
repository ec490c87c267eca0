#include <c10/core/InferenceMode.h>

#include <cstdio>

#include "host/cli/model_verbs/open_model.hpp"
#include "host/model/generate.hpp"
#include "host/text/chat_template.hpp"
#include "host/text/stream_decoder.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::cli {
namespace {

struct Options {
  ModelOptions model;
  std::string prompt, system, tokens = "128", temperature, top_k, top_p, penalty, seed = "0";
  std::vector<std::string> stops;
  bool chat = false, greedy = false;
};

model::GenerationOptions generation_of(const Options& o, const Checkpoint& checkpoint) {
  model::GenerationOptions g =
      model::generation_options(*checkpoint.config(), checkpoint.generation_config());
  g.max_new_tokens = parse_integer("-n", o.tokens, 1);
  g.seed = static_cast<std::uint64_t>(parse_integer("--seed", o.seed, 0));
  if (!o.temperature.empty())
    g.sample = (g.temperature = parse_number("--temperature", o.temperature, 0)) > 0;
  if (!o.top_k.empty()) g.top_k = parse_integer("--top-k", o.top_k, 0);
  if (!o.top_p.empty()) g.top_p = parse_number("--top-p", o.top_p, 0);
  if (!o.penalty.empty()) g.repetition_penalty = parse_number("--repetition-penalty", o.penalty, 0);
  if (o.greedy) g.sample = false;
  return g;
}

std::vector<std::int64_t> prompt_ids(const Options& o, const std::filesystem::path& folder,
                                     const text::Tokenizer& tokenizer) {
  std::vector<text::TokenId> ids;
  if (o.chat) {
    std::vector<text::ChatMessage> messages;
    if (!o.system.empty()) messages.push_back({"system", o.system});
    messages.push_back({"user", o.prompt});
    ids = tokenizer.encode(text::ChatTemplate::load(folder).render(messages),
                           text::SpecialTokens::kOmit);
  } else {
    ids = tokenizer.encode(o.prompt);
  }
  return {ids.begin(), ids.end()};
}

// Prints whole characters as they come, and holds back what may become a stop string.
class Printer {
 public:
  Printer(const text::Tokenizer& tokenizer, std::vector<std::string> stops, bool print)
      : decoder_(tokenizer), stops_(std::move(stops)), print_(print) {}

  // False when a stop string was reached.
  bool push(std::int64_t token) { return add(decoder_.push(static_cast<text::TokenId>(token))); }
  void finish() {
    if (!stopped_) add(decoder_.finish());
    emit(text_.size());
    if (print_) std::fputc('\n', stdout);
  }
  const std::string& text() const { return text_; }

 private:
  bool add(const std::string& piece) {
    text_ += piece;
    std::size_t safe = text_.size();
    for (const std::string& stop : stops_) {
      if (const std::size_t at = text_.find(stop); at != std::string::npos) {
        text_.resize(at);
        stopped_ = true;
        return false;
      }
      for (std::size_t n = std::min(stop.size(), text_.size()); n > 0; --n)
        if (std::string_view(text_).ends_with(std::string_view(stop).substr(0, n))) {
          safe = std::min(safe, text_.size() - n);
          break;
        }
    }
    emit(safe);
    return true;
  }
  void emit(std::size_t end) {
    if (!print_ || end <= printed_) return;
    std::fwrite(text_.data() + printed_, 1, end - printed_, stdout);
    std::fflush(stdout);
    printed_ = end;
  }

  text::StreamDecoder decoder_;
  std::vector<std::string> stops_;
  bool print_, stopped_ = false;
  std::string text_;
  std::size_t printed_ = 0;
};

double per_second(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }

int run(Session& session, const Options& options) {
  if (options.prompt.empty())
    throw CommandError(ExitCode::kUsage, ErrorKind::kValue, "run needs a prompt: -p TEXT");
  const c10::InferenceMode no_gradients;
  const OpenedModel opened = open_model(session, options.model);
  const text::Tokenizer tokenizer = text::Tokenizer::load(opened.folder);
  const model::GenerationOptions generation = generation_of(options, *opened.checkpoint);
  Printer printer(tokenizer, options.stops, !session.json());
  const model::Generation result = model::generate(
      *opened.model, {prompt_ids(options, opened.folder, tokenizer)}, generation,
      [&](std::size_t, std::int64_t token) { return printer.push(token) && !interrupted(); });
  printer.finish();
  if (interrupted()) throw_interrupted();
  const double prefill =
      per_second(static_cast<double>(result.prompt_tokens), result.prefill_seconds);
  const double decode = per_second(static_cast<double>(result.steps), result.decode_seconds);
  if (session.json())
    session.print_json("run", {{"text", printer.text()},
                               {"tokens", result.tokens.front()},
                               {"prompt_tokens", result.prompt_tokens},
                               {"load_s", opened.load_seconds},
                               {"prefill_tokens_per_s", prefill},
                               {"decode_tokens_per_s", decode},
                               {"peak_rss_bytes", peak_rss_bytes()}});
  else if (!session.quiet())
    fmt::print(
        stderr, "load {:.2f} s, prefill {:.0f} tokens/s, decode {:.1f} tokens/s, peak {:.0f} MiB\n",
        opened.load_seconds, prefill, decode, static_cast<double>(peak_rss_bytes()) / (1 << 20));
  return 0;
}

}  // namespace

void add_run(Verb root, Session& session) {
  auto options = std::make_shared<Options>();
  Verb verb =
      root.verb("run", "Generate text",
                "  quanthost run models/smollm2 --chat -p 'What is the capital of France?'\n"
                "  quanthost run models/smollm2 -p 'Once upon a time' -n 64 --greedy --json");
  add_model_options(verb, options->model);
  verb.option("-p,--prompt", options->prompt, "The prompt")
      .option("--system", options->system, "With --chat: the system message")
      .option("-n,--tokens", options->tokens, "New tokens at most (default: 128)")
      .flag("--chat", options->chat, "Put the prompt into the model's chat template")
      .flag("--greedy", options->greedy, "Always take the likeliest token")
      .option("--temperature", options->temperature, "Sample at this temperature; 0 is greedy")
      .option("--top-k", options->top_k, "Sample among so many tokens; 0: all")
      .option("--top-p", options->top_p, "Sample among the tokens that make up this probability")
      .option("--repetition-penalty", options->penalty,
              "Above 1: tokens seen already become less likely")
      .option("--seed", options->seed, "Seed of the sampling (default: 0)")
      .options("--stop", options->stops, "End when this text comes; may be repeated")
      .run([&session, options] { return run(session, *options); });
}

}  // namespace quanthost::cli
