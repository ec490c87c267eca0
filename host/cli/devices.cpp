#include "host/cli/verbs.hpp"
#include "host/devices/registry.hpp"

namespace quanthost::cli {
namespace {

int show_devices(Session& session) {
  const auto all = list_devices();
  if (session.json()) {
    session.print_json("devices", OrderedJson(devices_to_json(all)));
    return 0;
  }
  std::string text = devices_to_text(all);
  while (text.ends_with('\n')) text.pop_back();
  session.print(text);
  return 0;
}

}  // namespace

void add_devices(Verb parent, Session& session) {
  parent
      .verb("devices", "Devices that can compute here, and why others cannot",
            "  quanthost devices")
      .group("This machine")
      .run([&session] { return show_devices(session); });
}

}  // namespace quanthost::cli
