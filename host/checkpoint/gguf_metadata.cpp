#include <limits>

#include "host/base/error.hpp"
#include "host/checkpoint/gguf_file.hpp"

namespace quanthost {
namespace {

[[noreturn]] void fail_type(std::string_view key, std::string_view needed) {
  fail(ErrorKind::kType, "metadata {}: {} is needed, it holds something else", key, needed);
}

std::int64_t checked_signed(std::string_view key, std::uint64_t value) {
  if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    fail_type(key, "a number below 2^63");
  }
  return static_cast<std::int64_t>(value);
}

}  // namespace

void GgufMetadata::insert(std::string key, GgufValue value) {
  const auto [place, is_new] = entries_.emplace(std::move(key), std::move(value));
  if (!is_new) fail(ErrorKind::kValue, "the key occurs twice");
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

std::optional<std::uint64_t> GgufMetadata::unsigned_number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* number = std::get_if<std::uint64_t>(value)) return *number;
  if (const auto* number = std::get_if<std::int64_t>(value); number && *number >= 0) {
    return static_cast<std::uint64_t>(*number);
  }
  fail_type(key, "a number that is not negative");
}

std::optional<double> GgufMetadata::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* number = std::get_if<double>(value)) return *number;
  if (const auto* number = std::get_if<std::uint64_t>(value)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<std::int64_t>(value)) return static_cast<double>(*number);
  fail_type(key, "a number");
}

std::optional<bool> GgufMetadata::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* boolean = std::get_if<bool>(value)) return *boolean;
  fail_type(key, "a boolean");
}

const std::string* GgufMetadata::text(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return nullptr;
  if (const auto* text = std::get_if<std::string>(value)) return text;
  fail_type(key, "a text");
}

const std::vector<std::string>* GgufMetadata::texts(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return nullptr;
  if (const auto* texts = std::get_if<std::vector<std::string>>(value)) return texts;
  fail_type(key, "an array of texts");
}

std::optional<std::vector<std::int64_t>> GgufMetadata::signed_numbers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* numbers = std::get_if<std::vector<std::int64_t>>(value)) return *numbers;
  if (const auto* numbers = std::get_if<std::vector<std::uint64_t>>(value)) {
    std::vector<std::int64_t> converted;
    for (const std::uint64_t number : *numbers) converted.push_back(checked_signed(key, number));
    return converted;
  }
  fail_type(key, "an array of numbers");
}

const std::vector<double>* GgufMetadata::numbers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return nullptr;
  if (const auto* numbers = std::get_if<std::vector<double>>(value)) return numbers;
  fail_type(key, "an array of fractions");
}

std::uint64_t GgufMetadata::required_unsigned(std::string_view key) const {
  if (const auto number = unsigned_number(key)) return *number;
  fail(ErrorKind::kKey, "metadata {} is missing", key);
}

const std::string& GgufMetadata::required_text(std::string_view key) const {
  if (const std::string* value = text(key)) return *value;
  fail(ErrorKind::kKey, "metadata {} is missing", key);
}

}  // namespace quanthost
