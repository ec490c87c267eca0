// The resolver against a brute-force oracle on random graphs: the same answer, the same plan, in
// whatever order plugins come.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "host/plugins/resolver.hpp"

namespace quanthost {
namespace {

using Key = std::pair<std::string, std::string>;  // package, device

struct Provider {
  const ResolverPlugin* plugin;
  const PackageSpec* package;
};
using Assignment = std::map<Key, Provider>;

struct Problem {
  std::vector<ResolverPlugin> plugins;
  std::vector<ResolverGoal> goals;
};

Problem random_problem(std::mt19937& random) {
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const std::vector<std::string> constraints{"", ">=1", ">=2", "<2", "==1", "!=3", ">=2,<3"};
  const std::vector<std::string> devices{"cpu", "cpu", "cuda", "any"};
  const auto requirement = [&] {
    Requirement r = Requirement::parse("p" + std::to_string(pick(4)) +
                                       constraints[static_cast<std::size_t>(pick(7))]);
    if (pick(8) == 0) r.device = "any";
    if (pick(8) == 0) r.device = "cpu";
    return r;
  };
  Problem problem;
  const int count = 3 + pick(4);
  for (int i = 0; i < count; ++i) {
    ResolverPlugin plugin;
    plugin.id = std::string(1, static_cast<char>('a' + i));
    plugin.version = Version::parse("1");
    for (int k = pick(3); k > 0; --k) {
      const std::string name = "p" + std::to_string(pick(4));
      plugin.packages.push_back({name, name, Version::parse(std::to_string(1 + pick(3))),
                                 devices[static_cast<std::size_t>(pick(4))], "", 0});
    }
    for (int k = pick(3); k > 0; --k) plugin.requirements.push_back(requirement());
    if (pick(6) == 0)
      plugin.conflicts.push_back(std::string(1, static_cast<char>('a' + pick(count))));
    if (pick(8) == 0) plugin.unavailable = "no driver";
    problem.plugins.push_back(plugin);
  }
  problem.plugins[0].unavailable.clear();
  ResolverGoal goal{
      "a",
      "m",
      {},
      pick(3) == 0 ? std::vector<std::string>{"cpu", "cuda"} : std::vector<std::string>{"cpu"}};
  for (int k = 1 + pick(2); k > 0; --k) goal.requirements.push_back(requirement());
  problem.goals.push_back(goal);
  return problem;
}

bool better(const Provider& a, const Provider& b) {
  const bool any_a = a.package->device == "any", any_b = b.package->device == "any";
  if (any_a != any_b) return any_b;
  if (auto order = a.package->version <=> b.package->version; order != 0) return order > 0;
  if (a.plugin->id != b.plugin->id) return a.plugin->id < b.plugin->id;
  return a.package->device < b.package->device;
}

std::vector<Provider> candidates(const Problem& problem, const Key& key) {
  std::vector<Provider> out;
  for (const ResolverPlugin& plugin : problem.plugins) {
    for (const PackageSpec& package : plugin.packages) {
      const bool serves =
          key.second == "any" || package.device == "any" || package.device == key.second;
      const bool twin = std::any_of(out.begin(), out.end(), [&](const Provider& p) {
        return p.plugin == &plugin && p.package->version == package.version &&
               p.package->device == package.device;
      });
      if (package.key == key.first && serves && plugin.unavailable.empty() && !twin)
        out.push_back({&plugin, &package});
    }
  }
  std::sort(out.begin(), out.end(), better);
  return out;
}

bool conflicting(const ResolverPlugin& a, const ResolverPlugin& b) {
  const auto names = [](const ResolverPlugin& x, const ResolverPlugin& y) {
    return std::count(x.conflicts.begin(), x.conflicts.end(), y.id) != 0;
  };
  return a.id != b.id && (names(a, b) || names(b, a));
}

// Walks everything the goal needs under a complete assignment. nullopt: not a plan, or it reaches a
// key that has no value yet, which `open_key` then names.
std::optional<std::vector<Key>> walk(const Problem& problem, const Assignment& assignment,
                                     std::optional<Key>& open_key) {
  struct Need {
    const Requirement* requirement;
    const ResolverPlugin* by;
    std::string device;
  };
  const ResolverPlugin& root = problem.plugins[0];
  std::vector<Need> needs;
  for (const std::string& device : problem.goals[0].devices) {
    for (const Requirement& r : problem.goals[0].requirements) needs.push_back({&r, &root, device});
    for (const Requirement& r : root.requirements) needs.push_back({&r, &root, device});
  }
  std::set<const ResolverPlugin*> used{&root};
  std::set<std::pair<std::string, std::string>> edges;
  std::vector<Key> order;
  for (std::size_t i = 0; i < needs.size(); ++i) {
    const Need need = needs[i];
    const Key key{need.requirement->key,
                  need.requirement->device == "same" ? need.device : need.requirement->device};
    const auto found = assignment.find(key);
    if (found == assignment.end()) {
      open_key = key;
      return std::nullopt;
    }
    const Provider& provider = found->second;
    if (!need.requirement->constraints.allows(provider.package->version)) return std::nullopt;
    if (need.by != provider.plugin) edges.emplace(need.by->id, provider.plugin->id);
    if (std::count(order.begin(), order.end(), key) != 0) continue;
    order.push_back(key);
    used.insert(provider.plugin);
    for (const Requirement& r : provider.plugin->requirements) {
      needs.push_back(
          {&r, provider.plugin, key.second == "any" ? provider.package->device : key.second});
    }
  }
  for (const auto* a : used) {
    for (const auto* b : used) {
      if (conflicting(*a, *b)) return std::nullopt;
    }
  }
  // A graph without cycles can be emptied by taking away what nothing needs.
  for (bool changed = true; changed && !edges.empty();) {
    changed = std::erase_if(edges, [&](const auto& edge) {
                return std::none_of(edges.begin(), edges.end(),
                                    [&](const auto& other) { return other.second == edge.first; });
              }) != 0;
  }
  return edges.empty() ? std::optional(order) : std::nullopt;
}

// Every assignment in the order of preference, no cleverness: the first that is a plan.
std::optional<Assignment> oracle(const Problem& problem, Assignment assignment = {}) {
  std::optional<Key> open_key;
  if (walk(problem, assignment, open_key)) return assignment;
  if (!open_key) return std::nullopt;
  for (const Provider& provider : candidates(problem, *open_key)) {
    Assignment extended = assignment;
    extended.emplace(*open_key, provider);
    if (auto found = oracle(problem, std::move(extended))) return found;
  }
  return std::nullopt;
}

std::set<std::string> text_of(const Assignment& assignment) {
  std::set<std::string> out;
  for (const auto& [key, p] : assignment)
    out.insert(key.first + " " + p.package->version.text() + " " + p.package->device + " " +
               p.plugin->id);
  return out;
}

std::set<std::string> text_of(const Resolution& resolution) {
  std::set<std::string> out;
  for (const PlannedPackage& p : resolution.packages)
    out.insert(p.name + " " + p.version + " " + p.device + " " + p.plugin_id);
  return out;
}

TEST(Resolver, AgreesWithABruteForceOracleOnRandomGraphs) {
  std::mt19937 random(20240607);
  int solvable = 0, unsolvable = 0;
  for (int round = 0; round < 12000; ++round) {
    const Problem problem = random_problem(random);
    const auto expected = oracle(problem);
    const Resolution found = resolve(problem.plugins, problem.goals);
    ASSERT_EQ(found.ok, expected.has_value()) << "round " << round << "\n" << found.proof();
    ++(found.ok ? solvable : unsolvable);
    if (found.ok) {
      ASSERT_EQ(text_of(found), text_of(*expected)) << "round " << round;
    } else {
      ASSERT_FALSE(found.unmet.empty()) << "round " << round;
    }
  }
  EXPECT_GT(solvable, 500);
  EXPECT_GT(unsolvable, 500);
}

TEST(Resolver, GivesTheSameAnswerInWhateverOrderPluginsAreFound) {
  std::mt19937 random(4711);
  for (int round = 0; round < 1000; ++round) {
    Problem problem = random_problem(random);
    const Resolution first = resolve(problem.plugins, problem.goals);
    std::shuffle(problem.plugins.begin(), problem.plugins.end(), random);
    const Resolution again = resolve(problem.plugins, problem.goals);
    ASSERT_EQ(first.ok, again.ok);
    ASSERT_EQ(first.proof(), again.proof());
    ASSERT_EQ(text_of(first), text_of(again));
    ASSERT_EQ(first.plugin_order, again.plugin_order);
  }
}

}  // namespace
}  // namespace quanthost
