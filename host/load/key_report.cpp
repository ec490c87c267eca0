#include "host/load/key_report.hpp"

#include <algorithm>
#include <regex>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

constexpr std::size_t kNamesShown = 8;

bool any_starts_with(const std::vector<std::string>& keys, std::string_view prefix) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const std::string& key) { return key.starts_with(prefix); });
}

std::string names_text(std::string_view title, const std::vector<std::string>& names) {
  if (names.empty()) return {};
  std::string out = fmt::format("{} {}:", names.size(), title);
  for (std::size_t i = 0; i < std::min(names.size(), kNamesShown); ++i) out += "\n  " + names[i];
  if (names.size() > kNamesShown) out += fmt::format("\n  and {} more", names.size() - kNamesShown);
  return out + "\n";
}

}  // namespace

std::string shape_text(const std::vector<std::int64_t>& shape) { return Json(shape).dump(); }

Json KeyReport::to_json() const {
  Json mismatches = Json::array();
  for (const ShapeMismatch& m : mismatched) {
    mismatches.push_back(
        {{"name", m.name}, {"found", m.found}, {"expected", m.expected}, {"file", m.file}});
  }
  return {{"missing", missing}, {"unexpected", unexpected}, {"mismatched", mismatches}};
}

std::string KeyReport::text() const {
  std::vector<std::string> shapes;
  for (const ShapeMismatch& m : mismatched) {
    shapes.push_back(fmt::format("{}: {} has {}, the model needs {}", m.name, m.file,
                                 shape_text(m.found), shape_text(m.expected)));
  }
  std::string text = names_text("missing from the checkpoint", missing) +
                     names_text("in the checkpoint but not in the model", unexpected) +
                     names_text("with another shape", shapes);
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

PrefixChange prefix_change(std::string_view prefix, const std::vector<std::string>& checkpoint_keys,
                           const std::vector<std::string>& model_keys) {
  if (prefix.empty()) return PrefixChange::kNone;
  const bool found = any_starts_with(checkpoint_keys, prefix);
  const bool expected = any_starts_with(model_keys, prefix);
  if (found == expected) return PrefixChange::kNone;
  return expected ? PrefixChange::kAdd : PrefixChange::kRemove;
}

std::string rename_key(const std::string& key, std::string_view prefix, PrefixChange change) {
  if (change == PrefixChange::kAdd) return std::string(prefix) + key;
  if (change == PrefixChange::kRemove && key.starts_with(prefix)) return key.substr(prefix.size());
  return key;
}

std::vector<std::string> without_matching(const std::vector<std::string>& keys,
                                          const std::vector<std::string>& patterns) {
  std::vector<std::regex> expressions;
  for (const std::string& pattern : patterns) expressions.emplace_back(pattern);
  std::vector<std::string> out;
  std::copy_if(keys.begin(), keys.end(), std::back_inserter(out), [&](const std::string& key) {
    return std::none_of(expressions.begin(), expressions.end(), [&](const std::regex& expression) {
      return std::regex_search(key, expression);
    });
  });
  return out;
}

}  // namespace quanthost
