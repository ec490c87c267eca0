#include "host/plugins/resolver_search.hpp"

#include <algorithm>
#include <tuple>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

constexpr std::size_t kMaxSteps = 200'000;
constexpr int kGoal = -1;

// A total order: the exact device before "any", released before pre-released, then version,
// priority, id.
bool preferred(const Provider& a, const Provider& b) {
  const auto rank = [](const Provider& p) {
    return std::tuple(p.package->device == "any", p.package->version.is_prerelease());
  };
  if (rank(a) != rank(b)) return rank(a) < rank(b);
  if (auto order = a.package->version <=> b.package->version; order != 0) return order > 0;
  if (a.package->priority != b.package->priority) return a.package->priority > b.package->priority;
  if (a.plugin->id != b.plugin->id) return a.plugin->id < b.plugin->id;
  return a.package->device < b.package->device;
}

std::string joined(const std::vector<std::string>& ids) {
  std::string out;
  for (const std::string& id : ids) out += (out.empty() ? "" : ", ") + (id.empty() ? "none" : id);
  return out;
}

// What speaks against a provider whatever else is chosen; empty: nothing.
std::string own_fault(const Provider& provider, const Requirement& requirement,
                      const std::string& device) {
  const PackageSpec& package = *provider.package;
  if (device != "any" && package.device != "any" && package.device != device) {
    return fmt::format("is for {}, needed {}", package.device, device);
  }
  if (!requirement.constraints.allows(package.version)) {
    return fmt::format("version {} does not satisfy {}", package.version.text(),
                       requirement.constraints.text());
  }
  const auto& ids = provider.interfaces;
  if (!requirement.interface_id.empty() &&
      std::find(ids.begin(), ids.end(), requirement.interface_id) == ids.end()) {
    return fmt::format("offers interface {}, needed {}", joined(ids), requirement.interface_id);
  }
  return provider.plugin->unavailable;
}

bool names_as_conflict(const ResolverPlugin& a, const std::string& id) {
  return std::find(a.conflicts.begin(), a.conflicts.end(), id) != a.conflicts.end();
}

LostCandidate lost(const Provider& provider, std::string reason) {
  return {provider.plugin->id, provider.package->version.text(), provider.package->device,
          std::move(reason)};
}

std::vector<Provider> group_by_interface(const ResolverPlugin& plugin, const std::string& key) {
  std::vector<Provider> out;
  for (const PackageSpec& package : plugin.packages) {
    if (package.key != key) continue;
    const auto same = std::find_if(out.begin(), out.end(), [&](const Provider& p) {
      return p.package->device == package.device && p.package->version == package.version;
    });
    if (same == out.end()) {
      out.push_back({&plugin, &package, {package.interface_id}});
    } else {
      same->interfaces.push_back(package.interface_id);
    }
  }
  return out;
}

}  // namespace

ResolverSearch::ResolverSearch(const std::vector<ResolverPlugin>& plugins,
                               const std::vector<ResolverGoal>& goals)
    : goals_(goals) {
  for (const ResolverPlugin& plugin : plugins) plugins_.emplace(plugin.id, &plugin);
  for (const auto& [id, plugin] : plugins_) {
    std::set<std::string> keys;
    for (const PackageSpec& package : plugin->packages) keys.insert(package.key);
    for (const std::string& key : keys) {
      auto grouped = group_by_interface(*plugin, key);
      providers_[key].insert(providers_[key].end(), grouped.begin(), grouped.end());
    }
  }
  for (auto& [key, list] : providers_) std::stable_sort(list.begin(), list.end(), preferred);
}

Resolution ResolverSearch::run() {
  Resolution out;
  for (const ResolverGoal& goal : goals_) {
    const auto found = plugins_.find(goal.plugin_id);
    if (found == plugins_.end()) fail(ErrorKind::kKey, "there is no plugin '{}'", goal.plugin_id);
    const ResolverPlugin& plugin = *found->second;
    const std::string by = fmt::format("{} (method {})", plugin.id, goal.what);
    std::string refusal = plugin.unavailable;
    for (const auto& [id, levels] : used_) {
      if (id != plugin.id &&
          (names_as_conflict(plugin, id) || names_as_conflict(*plugins_.at(id), plugin.id))) {
        refusal = fmt::format("conflicts with {}, which is wanted too", id);
      }
    }
    if (!refusal.empty()) {
      out.unmet.push_back({by, plugin.id, "", {{plugin.id, plugin.version.text(), "", refusal}}});
      return out;
    }
    used_[plugin.id].push_back(kGoal);
    for (const std::string& device : goal.devices) {
      add_demands(goal.requirements, plugin.id, by, device, kGoal);
      add_demands(plugin.requirements, plugin.id, plugin.id, device, kGoal);
    }
  }
  Failure failure;
  out.ok = satisfy(0, failure);
  if (out.ok) {
    describe(out);
  } else {
    out.unmet = proof(failure.culprit);
  }
  return out;
}

void ResolverSearch::add_demands(const std::vector<Requirement>& list, const std::string& plugin,
                                 const std::string& by, const std::string& device, int parent) {
  for (const Requirement& r : list)
    demands_.push_back({&r, plugin, by, r.device == "same" ? device : r.device, parent});
}

bool ResolverSearch::satisfy(std::size_t level, Failure& failure) {
  if (++steps_ > kMaxSteps) {
    throw Error(ErrorKind::kRuntime,
                fmt::format("dependency resolution gave up after {} steps: the plugins' "
                            "requirements contradict each "
                            "other in too many ways",
                            kMaxSteps),
                "remove plugins that are not needed from the plugin path");
  }
  if (level == demands_.size()) return true;
  const Demand demand = demands_[level];  // a copy: the vector grows below
  if (const auto earlier = chosen_.find(demand.key()); earlier != chosen_.end()) {
    return satisfy_by_earlier_choice(earlier->second, level, failure);
  }
  DeadEnd dead_end{demand, {}};
  Failure mine{{demand.parent}, demand.identity()};
  if (const auto candidates = providers_.find(demand.requirement->key);
      candidates != providers_.end()) {
    for (const Provider& provider : candidates->second) {
      bool jump = false;
      if (try_provider(provider, level, dead_end, mine, jump)) return true;
      if (jump) {
        failure = std::move(mine);
        return false;
      }
    }
  }
  // Nothing constrains the rest less than going without, so its failure is the failure.
  if (demand.requirement->optional) return satisfy(level + 1, failure);
  record(std::move(dead_end));
  failure = std::move(mine);
  return false;
}

// Tries one provider for the demand at `level`. On failure `mine` gains the levels it depends on;
// `jump` says that no other provider of this demand can help, and `mine` is then the failure
// itself.
bool ResolverSearch::try_provider(const Provider& provider, std::size_t level, DeadEnd& dead_end,
                                  Failure& mine, bool& jump) {
  const Demand& demand = dead_end.demand;
  const int here = static_cast<int>(level);
  std::string fault = own_fault(provider, *demand.requirement, demand.device);
  if (fault.empty()) fault = fault_in_plan(provider, demand, mine.levels);
  if (!fault.empty()) {
    dead_end.verdicts.push_back({lost(provider, fault), {}});
    return false;
  }
  const std::size_t demands_before = demands_.size();
  const std::string& id = provider.plugin->id;
  chosen_.emplace(demand.key(), Choice{&provider, here});
  used_[id].push_back(here);
  add_demands(provider.plugin->requirements, id, id,
              demand.device == "any" ? provider.package->device : demand.device, here);
  Failure below;
  if (descend(level, id, here, below)) return true;
  demands_.erase(demands_.begin() + static_cast<std::ptrdiff_t>(demands_before), demands_.end());
  used_[id].pop_back();
  if (used_[id].empty()) used_.erase(id);
  chosen_.erase(demand.key());
  if (!below.levels.contains(here)) {
    mine = std::move(below);
    jump = true;
    return false;
  }
  const auto& culprit = dead_ends_.find(below.culprit);
  const std::string what = culprit == dead_ends_.end() ? std::string("a later requirement")
                                                       : culprit->second.demand.requirement->text();
  const bool own = culprit != dead_ends_.end() && culprit->second.demand.by_plugin == id;
  dead_end.verdicts.push_back(
      {lost(provider, own ? fmt::format("its own requirement {} cannot be met", what)
                          : fmt::format("with it, {} cannot be met", what)),
       below.culprit});
  mine.levels.insert(below.levels.begin(), below.levels.end());
  mine.levels.erase(here);
  return false;
}

// The package is already part of the plan on this device: that provider has to do.
bool ResolverSearch::satisfy_by_earlier_choice(const Choice& choice, std::size_t level,
                                               Failure& failure) {
  const Demand demand = demands_[level];
  const int choice_level = choice.level;
  const Provider& provider = *choice.provider;
  Failure mine{{demand.parent, choice_level}, demand.identity()};
  std::string fault = own_fault(provider, *demand.requirement, demand.device);
  if (fault.empty()) {
    std::vector<const Edge*> path;
    if (!provider.plugin->built_in && demand.by_plugin != provider.plugin->id &&
        find_path(provider.plugin->id, demand.by_plugin, path)) {
      fault =
          fmt::format("would close a cycle: {} needs {}", provider.plugin->id, demand.by_plugin);
      for (const Edge* edge : path) mine.levels.insert(edge->levels.begin(), edge->levels.end());
    }
  }
  if (fault.empty()) return descend(level, provider.plugin->id, choice_level, failure);
  if (demand.requirement->optional) return satisfy(level + 1, failure);

  const Demand& first = demands_[static_cast<std::size_t>(choice_level)];
  DeadEnd dead_end{demand, {}};
  for (const Provider& other : providers_.at(demand.requirement->key)) {
    if (&other == &provider) {
      dead_end.verdicts.push_back(
          {lost(other, fmt::format("{}; it was chosen because {} requires {}", fault, first.by,
                                   first.requirement->text())),
           {}});
      continue;
    }
    std::string reason = own_fault(other, *demand.requirement, demand.device);
    if (reason.empty()) {
      reason = own_fault(other, *first.requirement, first.device);
      if (!reason.empty())
        reason = fmt::format("{} requires {}: {}", first.by, first.requirement->text(), reason);
    }
    if (!reason.empty()) dead_end.verdicts.push_back({lost(other, reason), {}});
  }
  record(std::move(dead_end));
  failure = std::move(mine);
  return false;
}

// Goes on to the next demand with the edge of this one in place.
bool ResolverSearch::descend(std::size_t level, const std::string& to, int choice_level,
                             Failure& failure) {
  const Demand& demand = demands_[level];
  edges_.push_back({demand.by_plugin, to, {demand.parent, choice_level}});
  if (satisfy(level + 1, failure)) return true;
  edges_.pop_back();
  return false;
}

std::string ResolverSearch::fault_in_plan(const Provider& provider, const Demand& demand,
                                          std::set<int>& levels) const {
  const ResolverPlugin& plugin = *provider.plugin;
  for (const auto& [id, used_at] : used_) {
    if (id != plugin.id &&
        (names_as_conflict(plugin, id) || names_as_conflict(*plugins_.at(id), plugin.id))) {
      levels.insert(used_at.front());
      return fmt::format("conflicts with {}, which is already part of the plan", id);
    }
  }
  std::vector<const Edge*> path;
  if (plugin.built_in || plugin.id == demand.by_plugin ||
      !find_path(plugin.id, demand.by_plugin, path))
    return {};
  std::string cycle = demand.by_plugin + " -> " + plugin.id;
  for (const Edge* edge : path) {
    levels.insert(edge->levels.begin(), edge->levels.end());
    cycle += " -> " + edge->to;
  }
  return "would close a cycle: " + cycle;
}

bool ResolverSearch::find_path(const std::string& from, const std::string& to,
                               std::vector<const Edge*>& path) const {
  std::set<std::string> seen{from};
  const auto visit = [&](const auto& self, const std::string& at) -> bool {
    if (at == to) return true;
    for (const Edge& edge : edges_) {
      if (edge.from != at || !seen.insert(edge.to).second) continue;
      path.push_back(&edge);
      if (self(self, edge.to)) return true;
      path.pop_back();
    }
    return false;
  };
  return visit(visit, from);
}

// A demand may fail in several contexts: the first reason for each candidate stands.
void ResolverSearch::record(DeadEnd dead_end) {
  auto [entry, added] = dead_ends_.try_emplace(dead_end.demand.identity(), dead_end);
  if (added) return;
  auto& known = entry->second.verdicts;
  for (Verdict& verdict : dead_end.verdicts) {
    const bool seen = std::any_of(known.begin(), known.end(), [&](const Verdict& v) {
      return v.lost.plugin_id == verdict.lost.plugin_id && v.lost.version == verdict.lost.version &&
             v.lost.device == verdict.lost.device;
    });
    if (!seen) known.push_back(std::move(verdict));
  }
}

std::vector<UnmetRequirement> ResolverSearch::proof(const std::string& culprit) const {
  std::vector<UnmetRequirement> out;
  std::vector<std::string> queue{culprit};
  std::set<std::string> seen{culprit};
  for (std::size_t i = 0; i < queue.size(); ++i) {
    const auto found = dead_ends_.find(queue[i]);
    if (found == dead_ends_.end()) continue;
    const DeadEnd& dead_end = found->second;
    UnmetRequirement& unmet = out.emplace_back();
    unmet.required_by = dead_end.demand.by;
    unmet.requirement = dead_end.demand.requirement->text();
    unmet.device = dead_end.demand.device;
    for (const Verdict& verdict : dead_end.verdicts) {
      unmet.candidates.push_back(verdict.lost);
      if (!verdict.because.empty() && seen.insert(verdict.because).second)
        queue.push_back(verdict.because);
    }
  }
  return out;
}

}  // namespace quanthost
