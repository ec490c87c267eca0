#include <memory>

#include "host/cli/plugin_view.hpp"
#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

void print_methods(const Session& session, const std::vector<MethodChoice>& methods) {
  std::vector<std::vector<std::string>> rows{{"METHOD", "QUANT_METHOD", "CALIBRATION", "PLUGIN"}};
  for (const MethodChoice& method : methods) {
    rows.push_back({method.spec->method, method.spec->quant_method,
                    method.spec->requires_calibration ? "needed" : "-", method.plugin->id()});
  }
  if (methods.empty())
    return session.print(
        "No plugin here provides a quantization method; see 'quanthost plugins list'.");
  session.print(format_table(rows));
  if (!session.quiet()) session.print("\n'quanthost methods METHOD' shows the options of one.");
}

int methods(Session& session, const std::string& wanted) {
  const std::vector<MethodChoice> shown =
      wanted.empty() ? session.plugins().methods()
                     : std::vector<MethodChoice>{session.plugins().find_method(wanted)};
  if (session.json()) {
    OrderedJson list = OrderedJson::array();
    for (const MethodChoice& method : shown) {
      list.push_back(quantizer_json(*method.spec));
      list.back()["plugin"] = method.plugin->id();
    }
    session.print_json("methods", {{"methods", list}});
  } else if (wanted.empty()) {
    print_methods(session, shown);
  } else {
    session.print(method_text(*shown.front().spec));
    session.print("  of plugin " + shown.front().plugin->id());
  }
  return 0;
}

}  // namespace

void add_methods(Verb parent, Session& session) {
  auto wanted = std::make_shared<std::string>();
  parent
      .verb("methods", "Quantization methods that can be used here, and their options",
            "  quanthost methods\n  quanthost methods bitsandbytes_4bit")
      .group("Plugins")
      .optional_argument("method", *wanted, "Show the options of this one, which --set changes")
      .run([&session, wanted] { return methods(session, *wanted); });
}

}  // namespace quanthost::cli
