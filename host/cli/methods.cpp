#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

int methods(Session& session) {
  const auto all = session.plugins().methods();
  if (session.json()) {
    OrderedJson list = OrderedJson::array();
    for (const MethodChoice& method : all) {
      list.push_back({{"method", method.spec->method},
                      {"quant_method", method.spec->quant_method},
                      {"plugin", method.plugin->id()},
                      {"requires_calibration", method.spec->requires_calibration}});
    }
    session.print_json("methods", {{"methods", list}});
    return 0;
  }
  std::vector<std::vector<std::string>> rows{{"METHOD", "QUANT_METHOD", "CALIBRATION", "PLUGIN"}};
  for (const MethodChoice& method : all) {
    rows.push_back({method.spec->method, method.spec->quant_method,
                    method.spec->requires_calibration ? "needed" : "-", method.plugin->id()});
  }
  session.print(all.empty()
                    ? "No plugin here provides a quantization method; see 'quanthost plugins list'."
                    : format_table(rows));
  return 0;
}

}  // namespace

void add_methods(Verb parent, Session& session) {
  parent.verb("methods", "Quantization methods that can be used here", "  quanthost methods")
      .group("Plugins")
      .run([&session] { return methods(session); });
}

}  // namespace quanthost::cli
