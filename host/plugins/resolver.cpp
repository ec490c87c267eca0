#include "host/plugins/resolver.hpp"

#include <algorithm>
#include <set>

#include "host/base/error.hpp"
#include "host/plugins/resolver_search.hpp"

namespace quanthost {

Resolution resolve(const std::vector<ResolverPlugin>& plugins,
                   const std::vector<ResolverGoal>& goals) {
  return ResolverSearch(plugins, goals).run();
}

// One entry for each package and device of the plan, in the order of decision; providers before
// their users.
void ResolverSearch::describe(Resolution& out) const {
  for (const Demand& demand : demands_) {
    const auto choice = chosen_.find(demand.key());
    if (choice == chosen_.end()) continue;  // optional, and not there
    const Provider& provider = *choice->second.provider;
    const auto same =
        std::find_if(out.packages.begin(), out.packages.end(), [&](const PlannedPackage& p) {
          return p.name == provider.package->name && p.device == provider.package->device &&
                 p.plugin_id == provider.plugin->id &&
                 p.version == provider.package->version.text();
        });
    PlannedPackage& planned = same != out.packages.end() ? *same : out.packages.emplace_back();
    planned.name = provider.package->name;
    planned.version = provider.package->version.text();
    planned.device = provider.package->device;
    planned.plugin_id = provider.plugin->id;
    planned.built_in = provider.plugin->built_in;
    planned.interfaces = provider.interfaces;
    const std::string reason = fmt::format("{} requires {}", demand.by, demand.requirement->text());
    if (std::find(planned.required_by.begin(), planned.required_by.end(), reason) ==
        planned.required_by.end()) {
      planned.required_by.push_back(reason);
    }
  }
  std::set<std::string> placed;
  const auto place = [&](const auto& self, const std::string& id) -> void {
    if (!placed.insert(id).second) return;
    std::set<std::string> needed;
    for (const Edge& edge : edges_) {
      if (edge.from == id) needed.insert(edge.to);
    }
    for (const std::string& other : needed) self(self, other);
    if (!plugins_.at(id)->built_in) out.plugin_order.push_back(id);
  };
  for (const auto& [id, levels] : used_) place(place, id);
}

std::string Resolution::proof() const {
  std::string out;
  for (const UnmetRequirement& need : unmet) {
    const bool kind = !need.device.empty() && need.device != "any";
    out += fmt::format("{} requires {}{}\n", need.required_by, need.requirement,
                       kind ? fmt::format(" (for {})", need.device) : "");
    if (need.candidates.empty()) out += "  no plugin in the search path provides it\n";
    for (const LostCandidate& candidate : need.candidates) {
      out += fmt::format("  {} {}: {}\n", candidate.plugin_id, candidate.version, candidate.reason);
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

}  // namespace quanthost
