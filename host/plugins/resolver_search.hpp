// The resolver's search: depth first over requirements in the order they arise, jumping back over
// decisions that a dead end does not depend on. It finds the same plan as plain backtracking would,
// the first in the order of preference.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "host/plugins/resolver.hpp"

namespace quanthost {

// One package of one plugin on one device: the plugin's entries that differ in nothing but the
// interface.
struct Provider {
  const ResolverPlugin* plugin = nullptr;
  const PackageSpec* package = nullptr;
  std::vector<std::string> interfaces;
};

class ResolverSearch {
 public:
  ResolverSearch(const std::vector<ResolverPlugin>& plugins,
                 const std::vector<ResolverGoal>& goals);
  Resolution run();

 private:
  using Key = std::pair<std::string, std::string>;  // package, device

  struct Demand {
    const Requirement* requirement;
    std::string by_plugin;  // id
    std::string by;         // for messages
    std::string device;     // a kind, or "any"
    int parent;             // the level whose decision brought this demand in; -1: a goal
    Key key() const { return {requirement->key, device}; }
    std::string identity() const { return by + "\n" + requirement->text() + "\n" + device; }
  };
  struct Choice {
    const Provider* provider;
    int level;
  };
  struct Edge {  // plugin `from` needs plugin `to`
    std::string from, to;
    std::set<int> levels;  // the decisions it rests on
  };
  // Why a part of the search failed: the levels it depends on, and the demand that could not be
  // met.
  struct Failure {
    std::set<int> levels;
    std::string culprit;
  };
  struct Verdict {
    LostCandidate lost;
    std::string because;  // identity of the demand that failed with this candidate; may be empty
  };
  struct DeadEnd {
    Demand demand;
    std::vector<Verdict> verdicts;
  };

  bool satisfy(std::size_t level, Failure& failure);
  bool satisfy_by_earlier_choice(const Choice& choice, std::size_t level, Failure& failure);
  bool try_provider(const Provider& provider, std::size_t level, DeadEnd& dead_end,
                    Failure& failure, bool& jump);
  bool descend(std::size_t level, const std::string& to, int choice_level, Failure& failure);
  std::string fault_in_plan(const Provider& provider, const Demand& demand,
                            std::set<int>& levels) const;
  bool find_path(const std::string& from, const std::string& to,
                 std::vector<const Edge*>& path) const;
  void add_demands(const std::vector<Requirement>& list, const std::string& plugin,
                   const std::string& by, const std::string& device, int parent);
  void record(DeadEnd dead_end);
  std::vector<UnmetRequirement> proof(const std::string& culprit) const;
  void describe(Resolution& out) const;

  const std::vector<ResolverGoal>& goals_;
  std::map<std::string, const ResolverPlugin*> plugins_;    // by id
  std::map<std::string, std::vector<Provider>> providers_;  // by package, best first
  std::vector<Demand> demands_;
  std::map<Key, Choice> chosen_;
  std::map<std::string, std::vector<int>> used_;  // plugin id -> the levels that use it
  std::vector<Edge> edges_;
  std::map<std::string, DeadEnd> dead_ends_;  // by identity of the demand
  std::size_t steps_ = 0;
};

}  // namespace quanthost
