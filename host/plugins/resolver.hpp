// Resolves required_packages to plugins, from manifests alone: nothing is opened. The answer
// depends on what is offered, never on the order in which files were found.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/plugins/manifest.hpp"

namespace quanthost {

// A plugin as the resolver sees it.
struct ResolverPlugin {
  std::string id;
  Version version;
  std::vector<PackageSpec> packages;
  std::vector<Requirement> requirements;  // of the plugin itself, for whatever it provides
  std::vector<std::string> conflicts;     // ids
  std::string unavailable;                // why it cannot be used here; empty: it can
  bool built_in = false;                  // the host itself
};

// What has to be satisfied: a quantizer of one plugin, for the kinds of devices that the model will
// lie on.
struct ResolverGoal {
  std::string plugin_id;
  std::string what;  // the method, for messages
  std::vector<Requirement> requirements;
  std::vector<std::string> devices{"cpu"};
};

struct PlannedPackage {
  std::string name;
  std::string version;
  std::string device;  // the device kind it was chosen for; "any" when it serves all
  std::vector<std::string> interfaces;  // ids of the function tables it has
  std::string plugin_id;
  std::vector<std::string> required_by;  // "org.x.gptq requires auto_gptq>=0.4.99"
  bool built_in = false;
};

// Why one provider of a package was not taken.
struct LostCandidate {
  std::string plugin_id;
  std::string version;
  std::string device;
  std::string reason;
};

struct UnmetRequirement {
  std::string required_by;                // "org.x.gptq (method gptq)" or a plugin id
  std::string requirement;                // "auto_gptq>=0.4.99"
  std::string device;                     // the device kind it was needed for
  std::vector<LostCandidate> candidates;  // empty: nobody provides a package of this name
};

struct Resolution {
  bool ok = false;
  std::vector<PlannedPackage> packages;  // one for each (package, device)
  std::vector<std::string>
      plugin_order;  // ids, providers before those that need them; the goals' plugins too
  std::vector<UnmetRequirement> unmet;  // the proof, outermost requirement first
  std::string proof() const;            // for people, several lines; "" when ok
};

// Throws kRuntime when the search passes its step limit.
Resolution resolve(const std::vector<ResolverPlugin>& plugins,
                   const std::vector<ResolverGoal>& goals);

}  // namespace quanthost
