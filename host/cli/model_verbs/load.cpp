#include <memory>

#include "host/cli/model_verbs/layer_sizes.hpp"
#include "host/cli/model_verbs/open_model.hpp"
#include "host/load/offload.hpp"

namespace quanthost::cli {
namespace {

constexpr std::uint64_t kWorkingBytes = std::uint64_t{64} << 20;

// What a load promises to stay below: the model, the queue, the largest tensor, and some room to
// work.
std::uint64_t promised_bytes(const LoadStats& stats, std::uint64_t queue) {
  return stats.model_bytes + queue + stats.largest_tensor_bytes + kWorkingBytes;
}

std::uint64_t mapped_bytes(const LoadedModel& loaded) {
  std::uint64_t sum = 0;
  for (const TensorPlan& plan : loaded.plan) {
    if (can_stay_in_file(plan)) sum += plan.stored->bytes();
  }
  return sum;
}

int load(Session& session, const ModelOptions& flags) {
  LoadSession work(session, flags);
  LoadedModel loaded = work.plan();
  work.run(loaded);
  const LoadStats& stats = loaded.stats;
  const std::uint64_t promised = promised_bytes(stats, work.options().stream.queue_bytes);
  const double rate = stats.seconds > 0 ? static_cast<double>(stats.bytes_read) / stats.seconds : 0;
  const std::string method = loaded.quantizer ? loaded.quantizer->config().spec->method : "";
  if (session.json()) {
    session.print_json("load", {{"model", flags.path},
                                {"architecture", loaded.model->config().architecture},
                                {"method", method.empty() ? OrderedJson() : OrderedJson(method)},
                                {"dtype", name_of(to_qh_dtype(loaded.dtype))},
                                {"device_map", OrderedJson(loaded.device_map.to_json())},
                                {"keys", OrderedJson(loaded.keys.to_json())},
                                {"seconds", stats.seconds},
                                {"seconds_planning", stats.seconds_planning},
                                {"seconds_streaming", stats.seconds_streaming},
                                {"seconds_finishing", stats.seconds_finishing},
                                {"bytes_read", stats.bytes_read},
                                {"bytes_mapped", mapped_bytes(loaded)},
                                {"bytes_per_second", rate},
                                {"model_bytes", stats.model_bytes},
                                {"largest_tensor_bytes", stats.largest_tensor_bytes},
                                {"peak_queue_bytes", stats.peak_queue_bytes},
                                {"peak_rss_after_streaming_bytes", stats.peak_after_streaming},
                                {"peak_rss_bytes", peak_rss_bytes()},
                                {"promised_rss_bytes", promised},
                                {"layers", layer_sizes(loaded)}});
    return 0;
  }
  session.print(fmt::format(
      "{} loaded in {:.3f} s: {:.1f} MB read at {:.2f} GB/s, {:.1f} MB used where they lie",
      loaded.model->config().architecture, stats.seconds,
      static_cast<double>(stats.bytes_read) / 1e6, rate / 1e9,
      static_cast<double>(mapped_bytes(loaded)) / 1e6));
  session.print(fmt::format("planned in {:.3f} s, streamed in {:.3f} s, finished in {:.3f} s",
                            stats.seconds_planning, stats.seconds_streaming,
                            stats.seconds_finishing));
  session.print(fmt::format(
      "method {}, dtype {}, model {:.1f} MB, peak queue {:.1f} MB, peak memory {:.1f} MB of {:.1f} "
      "MB promised",
      method.empty() ? "none" : method, name_of(to_qh_dtype(loaded.dtype)),
      static_cast<double>(stats.model_bytes) / 1e6,
      static_cast<double>(stats.peak_queue_bytes) / 1e6,
      static_cast<double>(peak_rss_bytes()) / 1e6, static_cast<double>(promised) / 1e6));
  return 0;
}

}  // namespace

void add_load(Verb root, Session& session) {
  auto flags = std::make_shared<ModelOptions>();
  Verb verb = model_verb(root, "load", "  quanthost load models/smollm2 --method absmax8 --json");
  add_model_options(verb, *flags);
  verb.run([&session, flags] { return load(session, *flags); });
}

}  // namespace quanthost::cli
