#include <quanthost/abi/base.h>

#include <memory>

#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

int version(Session& session, bool abi_alone) {
  const std::string abi = fmt::format("{}.{}", QH_ABI_MAJOR, QH_ABI_MINOR);
  if (session.json()) {
    session.print_json("version", {{"version", QUANTHOST_VERSION}, {"abi", abi}});
  } else {
    session.print(abi_alone ? abi
                            : fmt::format("quanthost {}, plugin ABI {}", QUANTHOST_VERSION, abi));
  }
  return 0;
}

}  // namespace

void add_version(Verb parent, Session& session) {
  auto abi_alone = std::make_shared<bool>(false);
  parent.verb("version", "Versions of the host and of its plugin ABI", "  quanthost version --abi")
      .group("This machine")
      .flag("--abi", *abi_alone, "The plugin ABI alone")
      .run([&session, abi_alone] { return version(session, *abi_alone); });
}

}  // namespace quanthost::cli
