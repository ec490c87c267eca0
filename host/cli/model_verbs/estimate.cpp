#include "host/load/estimate.hpp"

#include <memory>

#include "host/cli/model_verbs/open_model.hpp"

namespace quanthost::cli {
namespace {

struct EstimateFlags : ModelOptions {
  std::string context = "2048", batch = "1";
};

std::string mib(std::uint64_t bytes) {
  return fmt::format("{:.1f}", static_cast<double>(bytes) / (1 << 20));
}

OrderedJson to_json(const DeviceNeeds& needs) {
  return {{"device", needs.device},
          {"weights_bytes", needs.weights},
          {"overhead_bytes", needs.overhead},
          {"workspace_bytes", needs.workspace},
          {"kv_cache_bytes", needs.kv_cache},
          {"loading_bytes", needs.loading},
          {"peak_while_loading_bytes", needs.peak_while_loading()},
          {"running_bytes", needs.running()}};
}

void print_table(Session& session, const MemoryNeeds& needs) {
  std::vector<std::vector<std::string>> rows{
      {"DEVICE", "WEIGHTS", "OVERHEAD", "KV CACHE", "WORKSPACE", "PEAK LOADING", "RUNNING"}};
  for (const DeviceNeeds& device : needs.devices) {
    rows.push_back({device.device, mib(device.weights), mib(device.overhead), mib(device.kv_cache),
                    mib(device.workspace), mib(device.peak_while_loading()),
                    mib(device.running())});
  }
  session.print("in MiB");
  session.print(format_table(rows));
  session.print(
      fmt::format("the process itself takes {} MiB on the cpu beside this", mib(needs.process)));
  if (!needs.untold.empty()) {
    session.print(
        fmt::format("overhead is not known for {} layers: their plugin tells nothing "
                    "before they are loaded (the first is {})",
                    needs.untold.size(), needs.untold.front()));
  }
}

int estimate(Session& session, const EstimateFlags& flags) {
  LoadSession work(session, flags);
  LoadedModel planned = work.plan();
  EstimateOptions options;
  options.context = parse_integer("--context", flags.context, 1);
  options.batch = parse_integer("--batch", flags.batch, 1);
  options.stream = work.options().stream;
  const MemoryNeeds needs = estimate_memory(planned, options);
  if (!session.json()) {
    print_table(session, needs);
    return 0;
  }
  OrderedJson devices = OrderedJson::array();
  for (const DeviceNeeds& device : needs.devices) devices.push_back(to_json(device));
  const std::string method = planned.quantizer ? planned.quantizer->config().spec->method : "";
  session.print_json("estimate", {{"model", flags.path},
                                  {"method", method.empty() ? OrderedJson() : OrderedJson(method)},
                                  {"dtype", name_of(to_qh_dtype(planned.dtype))},
                                  {"context", options.context},
                                  {"batch", options.batch},
                                  {"device_map", OrderedJson(planned.device_map.to_json())},
                                  {"process_bytes", needs.process},
                                  {"layers_without_overhead", needs.untold.size()},
                                  {"devices", devices}});
  return 0;
}

}  // namespace

void add_estimate(Verb root, Session& session) {
  auto flags = std::make_shared<EstimateFlags>();
  Verb verb = model_verb(root, "estimate",
                         "  quanthost estimate models/smollm2 --method absmax8 --context 4096");
  add_model_options(verb, *flags);
  verb.option("--context", flags->context, "Tokens that the key-value cache holds (default: 2048)")
      .option("--batch", flags->batch, "Sequences at once (default: 1)")
      .run([&session, flags] { return estimate(session, *flags); });
}

}  // namespace quanthost::cli
