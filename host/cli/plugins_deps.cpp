#include <memory>
#include <set>

#include "host/cli/plugin_view.hpp"
#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

struct DepsOptions {
  std::string plugin, why;
  std::vector<std::string> devices;
  bool dot = false;
};

struct Answer {
  MethodChoice method;
  Resolution resolution;
};

std::vector<MethodChoice> methods_of(PluginHost& host, const std::string& plugin) {
  if (plugin.empty()) return host.methods();
  const PluginRecord& record = host.find_plugin(plugin);
  if (!record.content.manifest) refuse(record);
  std::vector<MethodChoice> out;
  for (const QuantizerSpec& spec : record.content.manifest->quantizers)
    out.push_back({&record, &spec});
  return out;
}

std::string chosen_text(const PlannedPackage& package) {
  return fmt::format("{} {} ({}) from {}", package.name, package.version, package.device,
                     package.built_in ? "the host itself" : package.plugin_id);
}

void print_answer(const Answer& answer, const Session& session) {
  session.print(
      fmt::format("{}  {}", answer.method.spec->method, session.dim(answer.method.plugin->id())));
  for (const PlannedPackage& package : answer.resolution.packages)
    session.print("  " + chosen_text(package));
  if (answer.resolution.ok) {
    if (answer.resolution.packages.empty()) session.print("  needs nothing");
    return;
  }
  session.print("  " + session.bad("cannot be satisfied:"));
  std::string proof = answer.resolution.proof();
  for (std::size_t at = 0; (at = proof.find('\n', at)) != proof.npos; at += 5)
    proof.replace(at, 1, "\n    ");
  session.print("    " + proof);
  const UnmetRequirement& unmet = answer.resolution.unmet.front();
  session.print(fmt::format(
      "  hint: put a plugin that provides {} for {} into a directory of 'quanthost plugins paths'",
      unmet.requirement, unmet.device));
}

void print_dot(const std::vector<Answer>& answers, const Session& session) {
  session.print("digraph dependencies {\n  rankdir=LR;");
  std::set<std::string> lines;
  for (const Answer& answer : answers) {
    for (const PlannedPackage& package : answer.resolution.packages) {
      for (const std::string& reason : package.required_by) {
        const std::string by = reason.substr(0, reason.find(" requires "));
        lines.insert(fmt::format("  \"{}\" -> \"{}\" [label=\"{} {}\"];", by, package.plugin_id,
                                 package.name, package.version));
      }
    }
    for (const UnmetRequirement& unmet : answer.resolution.unmet) {
      lines.insert(fmt::format("  \"{}\" -> \"{}\" [color=red, label=\"unmet\"];",
                               unmet.required_by, unmet.requirement));
    }
  }
  for (const std::string& line : lines) session.print(line);
  session.print("}");
}

// Everything that touches one package: who asks for it, what was chosen, or each candidate and why
// it lost.
int print_why(const std::vector<Answer>& answers, const std::string& package,
              const Session& session) {
  const std::string key = normalized_name(package);
  bool asked = false, met = true;
  OrderedJson chosen = OrderedJson::array(), unmet = OrderedJson::array();
  for (const Answer& answer : answers) {
    for (const PlannedPackage& planned : answer.resolution.packages) {
      if (normalized_name(planned.name) != key) continue;
      asked = true;
      chosen.push_back(to_json(planned));
      if (session.json()) continue;
      session.print(chosen_text(planned));
      for (const std::string& reason : planned.required_by) session.print("  because " + reason);
    }
    for (const UnmetRequirement& need : answer.resolution.unmet) {
      if (Requirement::parse(need.requirement.substr(0, need.requirement.find(' '))).key != key)
        continue;
      asked = true;
      met = false;
      unmet.push_back(to_json(need));
      if (session.json()) continue;
      Resolution one;
      one.unmet = {need};
      session.print(one.proof());
    }
  }
  if (session.json()) {
    session.print_json(
        "plugins.deps.why",
        {{"package", package}, {"required", asked}, {"chosen", chosen}, {"unmet", unmet}});
  } else if (!asked) {
    session.print(fmt::format("nothing here requires {}", package));
  }
  return static_cast<int>(met ? ExitCode::kOk : ExitCode::kDependency);
}

int deps(Session& session, const DepsOptions& options) {
  std::vector<Answer> answers;
  bool all_met = true;
  const auto devices = options.devices.empty() ? std::vector<std::string>{"cpu"} : options.devices;
  for (const MethodChoice& method : methods_of(session.plugins(), options.plugin)) {
    answers.push_back({method, session.plugins().try_resolve({method}, devices)});
    all_met = all_met && answers.back().resolution.ok;
  }
  if (!options.why.empty()) return print_why(answers, options.why, session);
  if (options.dot) {
    print_dot(answers, session);
  } else if (session.json()) {
    OrderedJson list = OrderedJson::array();
    for (const Answer& answer : answers) {
      OrderedJson packages = OrderedJson::array(), unmet = OrderedJson::array();
      for (const auto& package : answer.resolution.packages) packages.push_back(to_json(package));
      for (const auto& need : answer.resolution.unmet) unmet.push_back(to_json(need));
      list.push_back({{"method", answer.method.spec->method},
                      {"plugin", answer.method.plugin->id()},
                      {"ok", answer.resolution.ok},
                      {"packages", packages},
                      {"load_order", answer.resolution.plugin_order},
                      {"unmet", unmet}});
    }
    session.print_json("plugins.deps", {{"devices", devices}, {"methods", list}});
  } else {
    for (const Answer& answer : answers) print_answer(answer, session);
    if (answers.empty()) session.print("no quantization method here requires anything");
  }
  return static_cast<int>(all_met ? ExitCode::kOk : ExitCode::kDependency);
}

}  // namespace

void add_plugins_deps(Verb parent, Session& session) {
  auto options = std::make_shared<DepsOptions>();
  parent
      .verb("deps", "Which packages each method requires, and which plugin provides them",
            "  quanthost plugins deps\n"
            "  quanthost plugins deps org.quanthost.gptq --device cuda\n"
            "  quanthost plugins deps org.quanthost.gptq --why auto_gptq     every candidate, and "
            "why it lost\n"
            "  quanthost plugins deps --dot | dot -Tsvg > deps.svg")
      .optional_argument("plugin", options->plugin, "Id or file; all plugins when left out")
      .option("--why", options->why, "Explain the choice for one package")
      .options("--device", options->devices,
               "Kind of device to resolve for (default: cpu); may be repeated")
      .flag("--dot", options->dot, "Print a graph for Graphviz")
      .run([&session, options] { return deps(session, *options); });
}

}  // namespace quanthost::cli
