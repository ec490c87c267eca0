#include "host/text/jinja/operators.hpp"

#include <algorithm>
#include <cmath>

#include "host/text/jinja/strings.hpp"

namespace quanthost::text::jinja {
namespace {

Value calculate(Operation operation, double left, double right, bool real) {
  const bool divides = operation == Operation::kDivide || operation == Operation::kFloorDivide ||
                       operation == Operation::kModulo;
  if (divides && right == 0) fail(ErrorKind::kValue, "division by zero");
  switch (operation) {
    case Operation::kAdd:
      return left + right;
    case Operation::kSubtract:
      return left - right;
    case Operation::kMultiply:
      return left * right;
    case Operation::kDivide:
      return left / right;
    case Operation::kFloorDivide:
      return std::floor(left / right);
    case Operation::kModulo:
      return left - right * std::floor(left / right);
    default:
      break;
  }
  const double power = std::pow(left, right);
  const bool whole = !real && right >= 0 && std::abs(power) < 9e15;
  return whole ? Value(static_cast<std::int64_t>(power)) : Value(power);
}

Value calculate(Operation operation, std::int64_t left, std::int64_t right) {
  std::int64_t result = 0;
  bool overflow = false;
  switch (operation) {
    case Operation::kAdd:
      overflow = __builtin_add_overflow(left, right, &result);
      break;
    case Operation::kSubtract:
      overflow = __builtin_sub_overflow(left, right, &result);
      break;
    case Operation::kMultiply:
      overflow = __builtin_mul_overflow(left, right, &result);
      break;
    default: {
      if (right == 0) fail(ErrorKind::kValue, "division by zero");
      if (right == -1)
        return operation == Operation::kModulo ? Value(std::int64_t{0}) : negate(left);
      const std::int64_t quotient =
          left / right - ((left % right != 0 && (left < 0) != (right < 0)) ? 1 : 0);
      result = operation == Operation::kModulo ? left - quotient * right : quotient;
    }
  }
  if (overflow) fail(ErrorKind::kValue, "a whole number grew beyond 64 bits");
  return result;
}

}  // namespace

Value item(const Value& owner, const Value& key) {
  if (const Dict* dict = owner.dict()) {
    const Value* found = key.string() ? dict->find(*key.string()) : nullptr;
    return found ? *found : Value();
  }
  if (owner.is_undefined()) fail(ErrorKind::kAttribute, "an undefined value has no items");
  if (!owner.list() && !owner.string()) return {};
  const List items = items_of(owner);
  std::int64_t index = key.integer();
  if (index < 0) index += static_cast<std::int64_t>(items.size());
  const bool inside = index >= 0 && index < static_cast<std::int64_t>(items.size());
  return inside ? items[static_cast<std::size_t>(index)] : Value();
}

Value slice(const Value& owner, const Value& begin, const Value& end, const Value& step_value) {
  const List items = items_of(owner);
  const auto size = static_cast<std::int64_t>(items.size());
  const std::int64_t step = step_value.is_none() ? 1 : step_value.integer();
  if (step == 0 || step == INT64_MIN)
    fail(ErrorKind::kValue, "the step of a slice must not be {}", step);
  const auto bound = [&](const Value& value, std::int64_t missing) {
    if (value.is_none()) return missing;
    std::int64_t index = value.integer();
    if (index < 0) index += size;
    return step > 0 ? std::clamp<std::int64_t>(index, 0, size)
                    : std::clamp<std::int64_t>(index, -1, size - 1);
  };
  List part;
  const std::int64_t last = bound(end, step > 0 ? size : -1);
  for (std::int64_t i = bound(begin, step > 0 ? 0 : size - 1); step > 0 ? i < last : i > last;) {
    part.push_back(items[static_cast<std::size_t>(i)]);
    if (step > 0 ? i >= last - step : i <= last - step) break;
    i += step;
  }
  if (!owner.string()) return Value::list(std::move(part));
  std::string text;
  for (const Value& character : part) text += *character.string();
  return text;
}

Value negate(const Value& value) {
  if (value.is<double>()) return -value.number();
  return calculate(Operation::kSubtract, std::int64_t{0}, value.integer());
}

Value arithmetic(Operation operation, const Value& left, const Value& right) {
  if (operation == Operation::kAdd && left.string() && right.string())
    return *left.string() + *right.string();
  if (operation == Operation::kAdd && left.list() && right.list()) {
    List items = *left.list();
    items.insert(items.end(), right.list()->begin(), right.list()->end());
    return Value::list(std::move(items));
  }
  if (!left.is_number() || !right.is_number()) {
    fail(ErrorKind::kType, "values of type {} and {} cannot be calculated with", left.type_name(),
         right.type_name());
  }
  const bool real = left.is<double>() || right.is<double>() || operation == Operation::kDivide;
  return real || operation == Operation::kPower
             ? calculate(operation, left.number(), right.number(), real)
             : calculate(operation, left.integer(), right.integer());
}

bool contains(const Value& container, const Value& item) {
  if (const std::string* text = container.string())
    return text->find(text_of(item)) != std::string::npos;
  if (const Dict* dict = container.dict()) return item.string() && dict->find(*item.string());
  const List list = items_of(container);
  return std::any_of(list.begin(), list.end(),
                     [&](const Value& member) { return member.equals(item); });
}

int compare(const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) {
    return left.number() < right.number() ? -1 : left.number() > right.number() ? 1 : 0;
  }
  if (left.string() && right.string()) return left.string()->compare(*right.string());
  fail(ErrorKind::kType, "values of type {} and {} cannot be compared", left.type_name(),
       right.type_name());
}

}  // namespace quanthost::text::jinja
