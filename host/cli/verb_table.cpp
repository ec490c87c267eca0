#include "host/cli/verb_table.hpp"

namespace quanthost::cli {

OrderedJson to_json(const VerbEntry& verb) {
  OrderedJson options = OrderedJson::array(), verbs = OrderedJson::array();
  for (const OptionEntry& option : verb.options) {
    options.push_back({{"names", option.names},
                       {"help", option.help},
                       {"positional", option.positional},
                       {"required", option.required},
                       {"takes_value", option.takes_value},
                       {"repeatable", option.repeatable},
                       {"choices", option.choices}});
  }
  for (const VerbEntry& below : verb.verbs) verbs.push_back(to_json(below));
  return {{"name", verb.name},
          {"summary", verb.summary},
          {"examples", verb.examples},
          {"options", options},
          {"verbs", verbs}};
}

VerbEntry verb_from_json(const OrderedJson& document) {
  VerbEntry verb{document.at("name"), document.at("summary"), document.at("examples"), {}, {}};
  for (const OrderedJson& option : document.at("options")) {
    verb.options.push_back({option.at("names"), option.at("help"), option.at("positional"),
                            option.at("required"), option.at("takes_value"),
                            option.at("repeatable"), option.at("choices")});
  }
  for (const OrderedJson& below : document.at("verbs")) verb.verbs.push_back(verb_from_json(below));
  return verb;
}

}  // namespace quanthost::cli
