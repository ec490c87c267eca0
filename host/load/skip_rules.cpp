#include "host/load/skip_rules.hpp"

#include <algorithm>
#include <set>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

std::string without_all(std::string text, std::string_view part) {
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part))
    text.erase(at, part.size());
  return text;
}

}  // namespace

std::vector<std::string> default_modules_to_not_convert(const SkipFacts& facts) {
  std::set<std::string> names;
  for (const auto& [tied, owner] : facts.tied) {
    names.insert(tied);
    names.insert(owner);
  }
  if (!facts.last_parameter.empty()) names.insert(facts.last_parameter);
  if (!facts.output_embeddings.empty()) names.insert(facts.output_embeddings);
  std::set<std::string> modules;
  for (const std::string& name : names) {
    constexpr std::string_view kWeight = ".weight";
    modules.insert(name.ends_with(kWeight) ? name.substr(0, name.size() - kWeight.size()) : name);
  }
  return {modules.begin(), modules.end()};
}

std::vector<std::string> default_modules_to_not_convert_4_41(const SkipFacts& facts) {
  if (facts.tied.empty() && !facts.output_embeddings.empty()) return {facts.output_embeddings};
  std::set<std::string> names{facts.last_parameter};
  for (const auto& [tied, owner] : facts.tied) {
    names.insert(tied);
    names.insert(owner);
  }
  std::set<std::string> modules;
  for (const std::string& name : names) {
    std::string module = without_all(without_all(name, ".weight"), ".bias");
    if (!module.empty()) modules.insert(std::move(module));
  }
  return {modules.begin(), modules.end()};
}

SkipList::SkipList(std::vector<std::string> patterns) : patterns_(std::move(patterns)) {
  expressions_.reserve(patterns_.size());
  for (const std::string& pattern : patterns_) {
    try {
      expressions_.emplace_back(pattern);
    } catch (const std::regex_error& e) {
      throw Error(
          ErrorKind::kValue,
          fmt::format(
              "the list of modules not to convert holds \"{}\", which is no regular expression: {}",
              pattern, e.what()),
          "entries are regular expressions that match from the start of a module's name");
    }
  }
}

bool SkipList::skips(std::string_view module) const { return reason(module).has_value(); }

std::optional<std::string> SkipList::reason(std::string_view module) const {
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    if (module.ends_with(patterns_[i]) ||
        std::regex_search(module.begin(), module.end(), expressions_[i],
                          std::regex_constants::match_continuous)) {
      return patterns_[i];
    }
  }
  return std::nullopt;
}

bool skips_bnb_4_41(std::string_view module, const std::vector<std::string>& keys) {
  const auto dot = module.rfind('.');
  const std::string_view leaf = dot == std::string_view::npos ? module : module.substr(dot + 1);
  return std::any_of(keys.begin(), keys.end(), [&](const std::string& key) {
    return key == leaf || key == module || module.find(key + ".") != std::string_view::npos;
  });
}

bool skips_quanto_4_41(std::string_view module, const std::vector<std::string>& keys) {
  return std::any_of(keys.begin(), keys.end(), [&](const std::string& key) {
    return module.find(key) != std::string_view::npos;
  });
}

}  // namespace quanthost
