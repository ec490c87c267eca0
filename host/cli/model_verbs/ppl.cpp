#include <c10/core/InferenceMode.h>

#include "host/base/file.hpp"
#include "host/cli/model_verbs/open_model.hpp"
#include "host/model/perplexity.hpp"
#include "host/text/tokenizer.hpp"

namespace quanthost::cli {
namespace {

struct PplOptions {
  ModelOptions model;
  std::string file, window = "2048", stride = "0";
};

int ppl(Session& session, const PplOptions& options) {
  const model::PerplexityOptions windows{parse_integer("--window", options.window, 2),
                                         parse_integer("--stride", options.stride, 0)};
  const c10::InferenceMode no_gradients;
  const std::vector<text::TokenId> ids =
      load_tokenizer(options.model.path).encode(read_text_file(options.file));
  const OpenedModel opened = open_model(session, options.model);
  const model::Perplexity p = model::perplexity(*opened.model, {ids.begin(), ids.end()}, windows,
                                                progress_on_stderr(session, "scoring", "tokens"));
  if (session.json())
    session.print_json("ppl", {{"perplexity", p.perplexity},
                               {"standard_error", p.standard_error},
                               {"tokens", p.tokens},
                               {"nll_sum", p.nll_sum},
                               {"load_s", opened.load_seconds},
                               {"peak_rss_bytes", peak_rss_bytes()}});
  else
    session.print(fmt::format("perplexity {:.4f} ± {:.4f} over {} tokens", p.perplexity,
                              p.standard_error, p.tokens));
  return 0;
}

}  // namespace

void add_ppl(Verb root, Session& session) {
  auto options = std::make_shared<PplOptions>();
  Verb verb = model_verb(root, "ppl",
                         "  quanthost ppl models/smollm2 text.txt\n  quanthost ppl models/smollm2 "
                         "text.txt --window 512 --stride 256 --json");
  add_model_options(verb, options->model);
  verb.argument("file", options->file, "A text file")
      .option("--window", options->window, "Tokens a forward sees (default: 2048)")
      .option("--stride", options->stride,
              "Tokens from one window to the next (default: the window)")
      .run([&session, options] { return ppl(session, *options); });
}

}  // namespace quanthost::cli
