#include "host/plugins/requirement.hpp"

#include <algorithm>
#include <cctype>

#include "host/plugins/fields.hpp"

namespace quanthost {
namespace {

bool is_name_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
}

void check_name(std::string_view name, std::string_view text) {
  const bool good = !name.empty() && name.size() <= 128 &&
                    std::all_of(name.begin(), name.end(), is_name_char) &&
                    std::isalnum(static_cast<unsigned char>(name.front())) &&
                    std::isalnum(static_cast<unsigned char>(name.back()));
  if (!good) fail(ErrorKind::kValue, "'{}' does not start with a package name", text);
}

}  // namespace

std::string normalized_name(std::string_view name) {
  std::string key;
  for (char c : name) {
    const bool separator = c == '-' || c == '_' || c == '.';
    if (separator && !key.empty() && key.back() == '-') continue;
    key += separator ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return key;
}

Requirement Requirement::parse(std::string_view text) {
  const auto name_end = std::find_if_not(text.begin(), text.end(), is_name_char);
  Requirement requirement;
  requirement.name = std::string(text.begin(), name_end);
  check_name(requirement.name, text);
  std::string_view rest(name_end, text.end());
  const auto first = rest.find_first_not_of(' ');
  rest = first == rest.npos ? std::string_view{} : rest.substr(first);
  if (rest.starts_with('(') && rest.ends_with(')'))
    rest = rest.substr(1, rest.size() - 2);  // "name (>=1)"
  if (rest.starts_with('[') || rest.starts_with('@') || rest.find(';') != rest.npos) {
    throw Error(ErrorKind::kValue,
                fmt::format("'{}': extras, links and markers are not supported", text),
                "write a name and version constraints, for example bitsandbytes>=0.39.0");
  }
  requirement.constraints = Constraints::parse(rest);
  requirement.key = normalized_name(requirement.name);
  return requirement;
}

Requirement Requirement::parse(const OrderedJson& entry, std::string_view where) {
  if (entry.is_string()) {
    try {
      return parse(entry.get_ref<const std::string&>());
    } catch (const Error& e) {
      throw e.within(where);
    }
  }
  const Fields fields(entry, where);
  Requirement requirement;
  requirement.name = fields.required_text("name");
  try {
    check_name(requirement.name, requirement.name);
    requirement.constraints = Constraints::parse(fields.text("version"));
  } catch (const Error& e) {
    throw e.within(where);
  }
  requirement.key = normalized_name(requirement.name);
  requirement.interface_id = fields.text("interface");
  requirement.device = fields.text("device", "same");
  requirement.optional = fields.flag("optional");
  return requirement;
}

std::string Requirement::text() const {
  std::string out = name + constraints.text();
  if (!interface_id.empty()) out += fmt::format(" (interface {})", interface_id);
  if (device != "same" && device != "any") out += fmt::format(" on {}", device);
  return out;
}

}  // namespace quanthost
