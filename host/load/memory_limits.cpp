#include "host/load/memory_limits.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <tuple>

namespace quanthost {
namespace {

struct Unit {
  std::string_view suffix;  // upper case
  double bytes;
  bool decimal;  // a lower-case final b of a decimal unit means bits
};
constexpr std::array<Unit, 8> kUnits{{{"TIB", 1099511627776.0, false},
                                      {"GIB", 1073741824.0, false},
                                      {"MIB", 1048576.0, false},
                                      {"KIB", 1024.0, false},
                                      {"TB", 1e12, true},
                                      {"GB", 1e9, true},
                                      {"MB", 1e6, true},
                                      {"KB", 1e3, true}}};

std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return std::toupper(c); });
  return out;
}

bool all_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

[[noreturn]] void refuse_size(std::string_view text) {
  throw Error(ErrorKind::kValue, fmt::format("memory size \"{}\" is not in a valid format", text),
              "write a number of bytes, or a number with a unit such as 5GB, 10GiB or 512MiB");
}

double number_before_unit(std::string_view text, std::string_view digits) {
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size() || !std::isfinite(value) ||
      value < 0) {
    refuse_size(text);
  }
  return value;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())))
    text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())))
    text.remove_suffix(1);
  return text;
}

// Accelerators by kind and index, then cpu, then disk.
std::tuple<int, std::string, long> order_of(const std::string& device) {
  if (device == "cpu") return {1, "", 0};
  if (device == "disk") return {2, "", 0};
  const auto colon = device.find(':');
  return {0, device.substr(0, colon),
          colon == std::string::npos ? 0 : std::atol(device.c_str() + colon + 1)};
}

void add_limit(MemoryLimits& limits, std::string device, double bytes) {
  for (const auto& [name, unused] : limits) {
    if (name == device) fail(ErrorKind::kValue, "max memory names device {} twice", device);
  }
  limits.emplace_back(std::move(device), bytes);
}

MemoryLimits sorted(MemoryLimits limits) {
  std::stable_sort(limits.begin(), limits.end(), [](const auto& a, const auto& b) {
    return order_of(a.first) < order_of(b.first);
  });
  return limits;
}

}  // namespace

bool is_accelerator(std::string_view device) { return device != "cpu" && device != "disk"; }

double parse_byte_size(std::string_view raw) {
  const std::string_view text = trim(raw);
  const std::string shouted = upper(text);
  for (const Unit& unit : kUnits) {
    if (!shouted.ends_with(unit.suffix)) continue;
    const double bytes =
        std::trunc(number_before_unit(raw, trim(text.substr(0, text.size() - unit.suffix.size()))) *
                   unit.bytes);
    return unit.decimal && text.back() == 'b' ? std::floor(bytes / 8) : bytes;
  }
  if (!all_digits(text)) refuse_size(raw);
  return number_before_unit(raw, text);
}

std::string normalize_device(std::string_view device, std::string_view accelerator) {
  const std::string_view name = trim(device);
  if (name.empty()) fail(ErrorKind::kValue, "a device name is empty");
  if (name.front() == '-' && all_digits(name.substr(1))) {
    fail(ErrorKind::kValue, "device index {} is negative", name);
  }
  if (all_digits(name)) return fmt::format("{}:{}", accelerator, name);
  if (!is_accelerator(name) || name.find(':') != std::string_view::npos) return std::string(name);
  return fmt::format("{}:0", name);
}

MemoryLimits memory_limits_from_json(const Json& object, std::string_view accelerator) {
  if (!object.is_object()) {
    throw Error(ErrorKind::kType, "max memory must map devices to sizes",
                "write {\"0\": \"10GiB\", \"cpu\": \"30GiB\"}");
  }
  MemoryLimits limits;
  for (const auto& [device, size] : object.items()) {
    double bytes = 0;
    if (size.is_string()) {
      bytes = parse_byte_size(size.get<std::string>());
    } else if (size.is_number() && size.get<double>() >= 0) {
      bytes = size.get<double>();
    } else {
      refuse_size(size.dump());
    }
    add_limit(limits, normalize_device(device, accelerator), bytes);
  }
  return sorted(std::move(limits));
}

MemoryLimits parse_memory_limits(std::string_view text, std::string_view accelerator) {
  if (trim(text).starts_with('{'))
    return memory_limits_from_json(parse_json(text, "the limits"), accelerator);
  MemoryLimits limits;
  for (std::string_view rest = text; !rest.empty();) {
    const auto comma = rest.find(',');
    const std::string_view entry = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    const auto equals = entry.find('=');
    if (equals == std::string_view::npos) {
      throw Error(ErrorKind::kValue, fmt::format("max memory entry \"{}\" names no device", entry),
                  "write DEVICE=SIZE, for example 0=10GiB,cpu=30GiB");
    }
    add_limit(limits, normalize_device(entry.substr(0, equals), accelerator),
              parse_byte_size(entry.substr(equals + 1)));
  }
  return sorted(std::move(limits));
}

}  // namespace quanthost
