#include <c10/core/InferenceMode.h>

#include <cstdio>

#include "host/cli/model_verbs/open_model.hpp"
#include "host/model/generate_text.hpp"
#include "host/text/chat_template.hpp"

namespace quanthost::cli {
namespace {

struct RunOptions {
  ModelOptions model;
  std::string prompt, system, tokens = "128", temperature, top_k, top_p, penalty, seed = "0";
  std::vector<std::string> stops;
  bool chat = false, greedy = false;
};

// What was asked for, read before the model is.
struct Wishes {
  model::GenerationWishes sampling;
  std::int64_t tokens;
  std::uint64_t seed;
};

Wishes wishes_of(const RunOptions& o) {
  Wishes w{{},
           parse_integer("-n", o.tokens, 1),
           static_cast<std::uint64_t>(parse_integer("--seed", o.seed, 0))};
  if (!o.temperature.empty())
    w.sampling.temperature = parse_number("--temperature", o.temperature, 0);
  if (!o.top_k.empty()) w.sampling.top_k = parse_integer("--top-k", o.top_k, 0);
  if (!o.top_p.empty()) w.sampling.top_p = parse_number("--top-p", o.top_p, 0);
  if (!o.penalty.empty())
    w.sampling.repetition_penalty = parse_number("--repetition-penalty", o.penalty, 0);
  w.sampling.greedy = o.greedy;
  for (const std::string& stop : o.stops)
    if (stop.empty()) throw CommandError(ExitCode::kUsage, ErrorKind::kValue, "--stop is empty");
  return w;
}

model::GenerationOptions generation_of(const Wishes& wishes, const std::vector<std::string>& stops,
                                       const Checkpoint& checkpoint) {
  model::GenerationOptions g = model::generation_options(
      *checkpoint.config(), checkpoint.generation_config(), wishes.sampling);
  g.max_new_tokens = wishes.tokens;
  g.seed = wishes.seed;
  g.stop_strings.insert(g.stop_strings.end(), stops.begin(), stops.end());
  return g;
}

const char* name_of(model::TextEnd end) {
  switch (end) {
    case model::TextEnd::kEndOfText:
      return "end_of_text";
    case model::TextEnd::kStopString:
      return "stop_text";
    case model::TextEnd::kLength:
      return "length";
    default:
      return "interrupted";
  }
}

std::vector<std::int64_t> prompt_ids(const RunOptions& o, const std::filesystem::path& folder,
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

double per_second(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }

int run(Session& session, const RunOptions& options) {
  if (options.prompt.empty())
    throw CommandError(ExitCode::kUsage, ErrorKind::kValue, "run needs a prompt", "add -p TEXT");
  const c10::InferenceMode no_gradients;
  const Wishes wishes = wishes_of(options);
  const text::Tokenizer tokenizer = load_tokenizer(options.model.path);
  const std::vector<std::int64_t> prompt = prompt_ids(options, options.model.path, tokenizer);
  const OpenedModel opened = open_model(session, options.model);
  const model::GenerationOptions generation =
      generation_of(wishes, options.stops, *opened.checkpoint);
  const auto print = [&](std::size_t, std::string_view piece, std::int64_t) {
    if (!session.json()) std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
    return !interrupted();
  };
  const model::TextGeneration written =
      model::generate_text(*opened.model, tokenizer, {prompt}, generation, print);
  const model::Generation& result = written.generation;
  if (!session.json()) std::fputc('\n', stdout);
  std::fflush(stdout);  // before what goes to stderr
  if (interrupted()) throw_interrupted();
  const double prefill =
      per_second(static_cast<double>(result.prompt_tokens), result.prefill_seconds);
  const double decode = per_second(static_cast<double>(result.steps), result.decode_seconds);
  if (session.json())
    session.print_json("run", {{"text", written.texts.front()},
                               {"tokens", result.tokens.front()},
                               {"prompt_tokens", result.prompt_tokens},
                               {"stop_reason", name_of(written.ends.front())},
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
  auto options = std::make_shared<RunOptions>();
  Verb verb =
      model_verb(root, "run",
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
