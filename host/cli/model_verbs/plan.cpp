#include <memory>

#include "host/cli/model_verbs/open_model.hpp"

namespace quanthost::cli {
namespace {

struct PlanFlags : ModelOptions {
  std::string why;
};

std::string type_after(const TensorPlan& plan) {
  return plan.cast ? name_of(to_qh_dtype(*plan.cast))
                   : std::string(torch_name(plan.stored->dtype()));
}

// Who computes a quantized tensor: the package that the quantizer asked for on that kind of device,
// or the quantizer's plugin itself where it asked for none.
struct Kernel {
  std::string provider;  // plugin id and package version
  std::string table;     // interface of its functions; empty: the plugin's own code
};

Kernel kernel_of(const LoadedModel& loaded, const TensorPlan& plan) {
  if (!plan.quantized) return {};
  const std::string device = loaded.exec_for(plan.name)->device();
  const std::string kind = device.substr(0, device.find(':'));
  for (const UsedPackage& used : loaded.session->used_packages) {
    if (used.device_kind == kind)
      return {fmt::format("{} ({} {})", used.plugin_id, used.name, used.version),
              used.interface_id};
  }
  return {loaded.quantizer->plugin_id(), ""};
}

OrderedJson or_null(const std::string& text) {
  return text.empty() ? OrderedJson() : OrderedJson(text);
}

OrderedJson entry(const LoadedModel& loaded, const TensorPlan& plan) {
  const Kernel kernel = kernel_of(loaded, plan);
  return {{"name", plan.name},
          {"file", plan.stored->file().path().filename().string()},
          {"stored_as", std::string(torch_name(plan.stored->dtype()))},
          {"loaded_as", plan.quantized ? "quantized" : type_after(plan)},
          {"plugin", plan.quantized ? OrderedJson(loaded.quantizer->plugin_id()) : OrderedJson()},
          {"provider", or_null(kernel.provider)},
          {"kernel", or_null(kernel.table)},
          {"device", plan.device},
          {"bytes_read", plan.stored->bytes()},
          {"rows_at_a_time", plan.row_granularity}};
}

// Why one tensor goes where it goes, one reason a line.
std::vector<std::string> reasons(const LoadedModel& loaded, const TensorPlan& plan) {
  std::vector<std::string> out;
  out.push_back(fmt::format("read from {} as {}, {} bytes",
                            plan.stored->file().path().filename().string(),
                            torch_name(plan.stored->dtype()), plan.stored->bytes()));
  if (!loaded.quantizer) {
    out.push_back("not quantized: no method was asked for, and the checkpoint names none");
  } else if (plan.quantized) {
    out.push_back(fmt::format("given to {} ({}): its check_quantized_param says so",
                              loaded.quantizer->plugin_id(),
                              loaded.quantizer->config().spec->method));
    const Kernel kernel = kernel_of(loaded, plan);
    out.push_back(kernel.table.empty()
                      ? fmt::format("quantized and computed by {} itself", kernel.provider)
                      : fmt::format("quantized and computed by {} through {}", kernel.provider,
                                    kernel.table));
  } else {
    out.push_back(fmt::format("left as it is: {} does not want it", loaded.quantizer->plugin_id()));
  }
  if (plan.cast) out.push_back(fmt::format("converted to {}", type_after(plan)));
  out.push_back(fmt::format("placed on {} by the device map {}", plan.device,
                            loaded.device_map.to_json().dump()));
  return out;
}

int why(Session& session, const LoadedModel& loaded, const std::string& name) {
  for (const TensorPlan& plan : loaded.plan) {
    if (plan.name != name && plan.stored->name() != name) continue;
    if (session.json()) {
      session.print_json("plan_why",
                         {{"tensor", entry(loaded, plan)}, {"reasons", reasons(loaded, plan)}});
    } else {
      session.print(plan.name);
      for (const std::string& reason : reasons(loaded, plan)) session.print("  " + reason);
    }
    return 0;
  }
  throw CommandError(ExitCode::kModelInvalid, ErrorKind::kKey,
                     fmt::format("no tensor {} is loaded", name),
                     "'quanthost plan MODEL' lists them");
}

int plan(Session& session, const PlanFlags& flags) {
  LoadSession work(session, flags);
  const LoadedModel loaded = work.plan();
  if (!flags.why.empty()) return why(session, loaded, flags.why);
  if (session.json()) {
    OrderedJson tensors = OrderedJson::array();
    for (const TensorPlan& p : loaded.plan) tensors.push_back(entry(loaded, p));
    session.print_json("plan", {{"dtype", name_of(to_qh_dtype(loaded.dtype))},
                                {"device_map", OrderedJson(loaded.device_map.to_json())},
                                {"tensors", tensors}});
    return 0;
  }
  std::vector<std::vector<std::string>> rows{
      {"TENSOR", "STORED", "LOADED", "PROVIDER", "KERNEL", "DEVICE", "BYTES"}};
  for (const TensorPlan& p : loaded.plan) {
    const Kernel kernel = kernel_of(loaded, p);
    rows.push_back({p.name, std::string(torch_name(p.stored->dtype())),
                    p.quantized ? "by " + loaded.quantizer->plugin_id() : type_after(p),
                    kernel.provider, kernel.table, p.device, std::to_string(p.stored->bytes())});
  }
  session.print(format_table(rows));
  return 0;
}

}  // namespace

void add_plan(Verb root, Session& session) {
  auto flags = std::make_shared<PlanFlags>();
  Verb verb = model_verb(
      root, "plan", "  quanthost plan models/smollm2 --method absmax8 --why model.norm.weight");
  add_model_options(verb, *flags);
  verb.option("--why", flags->why, "Explain one tensor").run([&session, flags] {
    return plan(session, *flags);
  });
}

}  // namespace quanthost::cli
