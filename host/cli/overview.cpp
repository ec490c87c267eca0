#include "host/cli/model_library.hpp"
#include "host/cli/verbs.hpp"

namespace quanthost::cli {

int show_overview(Session& session) {
  const Discovery& found = session.plugins().discovery();
  std::size_t usable = 0;
  for (const PluginRecord& plugin : found.plugins) usable += plugin.usable();
  std::string methods;
  OrderedJson method_list = OrderedJson::array();
  for (const MethodChoice& method : session.plugins().methods()) {
    methods += (methods.empty() ? "" : ", ") + method.spec->method;
    method_list.push_back(method.spec->method);
  }
  if (session.json()) {
    session.print_json("overview", {{"version", QUANTHOST_VERSION},
                                    {"plugins", found.plugins.size()},
                                    {"usable", usable},
                                    {"methods", method_list}});
    return 0;
  }
  session.print(
      fmt::format("quanthost {}: loads quantized models through plugins\n", QUANTHOST_VERSION));
  session.print(fmt::format("{} plugin file{} found, {} usable", found.plugins.size(),
                            found.plugins.size() == 1 ? "" : "s", usable));
  session.print(fmt::format("methods: {}", methods.empty() ? "none" : methods));
  session.print(find_model_library().empty()
                    ? "models:  not here; verbs that load one need quanthost's component `host`\n"
                    : "models:  can be loaded here\n");
  session.print(
      "  quanthost plugins list            what is there, and if it cannot be used, why\n"
      "  quanthost methods                 quantization methods that can be used here\n"
      "  quanthost run MODEL -p TEXT       generate text\n"
      "  quanthost quantize MODEL OUT --method METHOD\n"
      "                                    quantize a model and save it\n"
      "  quanthost plugins new NAME        start a plugin of your own\n"
      "  quanthost doctor                  is everything in order?\n"
      "  quanthost --help                  every verb, and what the exit codes mean");
  return 0;
}

}  // namespace quanthost::cli
