#include <memory>

#include "host/cli/model_verbs/layer_sizes.hpp"
#include "host/cli/model_verbs/open_model.hpp"
#include "host/load/quantize_checkpoint.hpp"

namespace quanthost::cli {
namespace {

struct QuantizeFlags : ModelOptions {
  std::string out;
};

int quantize(Session& session, const QuantizeFlags& flags) {
  LoadSession work(session, flags);
  LoadedModel loaded = work.plan();
  SaveOptions save;
  save.progress = &work.progress();
  save.cancel = &interrupt_token();
  save.trace = work.trace();
  quantize_checkpoint(loaded, work.options(), flags.out, save, command_option_names());
  if (session.json()) {
    OrderedJson layers = layer_sizes(loaded);
    add_saved_reports(layers, flags.out);
    session.print_json("quantize", {{"out", flags.out},
                                    {"method", loaded.quantizer->config().spec->method},
                                    {"seconds", loaded.stats.seconds},
                                    {"bytes_read", loaded.stats.bytes_read},
                                    {"model_bytes", loaded.stats.model_bytes},
                                    {"spooled_bytes", loaded.stats.spooled_bytes},
                                    {"peak_queue_bytes", loaded.stats.peak_queue_bytes},
                                    {"peak_rss_bytes", peak_rss_bytes()},
                                    {"layers", layers}});
  } else {
    session.print(fmt::format("{}: {:.1f} MB became {:.1f} MB in {:.2f} s", flags.out,
                              static_cast<double>(loaded.checkpoint->total_bytes()) / 1e6,
                              static_cast<double>(loaded.stats.model_bytes) / 1e6,
                              loaded.stats.seconds));
  }
  return 0;
}

}  // namespace

void add_quantize(Verb root, Session& session) {
  auto flags = std::make_shared<QuantizeFlags>();
  Verb verb =
      model_verb(root, "quantize", "  quanthost quantize models/smollm2 out --method absmax8");
  add_model_options(verb, *flags);
  verb.argument("OUT", flags->out, "Directory to write").run([&session, flags] {
    return quantize(session, *flags);
  });
}

}  // namespace quanthost::cli
