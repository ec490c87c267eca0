#include "host/text/jinja/functions.hpp"

#include <chrono>
#include <ctime>

#include "host/text/jinja/collections.hpp"
#include "host/text/jinja/strings.hpp"

namespace quanthost::text::jinja {
namespace {

constexpr std::int64_t kMaxRange = 10'000;

Value range(const Arguments& arguments) {
  const std::size_t count = arguments.positional.size();
  if (count < 1 || count > 3) fail(ErrorKind::kType, "range() takes one to three whole numbers");
  const std::int64_t begin = count > 1 ? arguments.positional[0].integer() : 0;
  const std::int64_t end = arguments.positional[count > 1 ? 1 : 0].integer();
  const std::int64_t step = count > 2 ? arguments.positional[2].integer() : 1;
  if (step == 0) fail(ErrorKind::kValue, "range() needs a step other than 0");
  List numbers;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (numbers.size() >= static_cast<std::size_t>(kMaxRange)) {
      fail(ErrorKind::kValue, "range() is limited to {} numbers", kMaxRange);
    }
    numbers.emplace_back(i);  // g++ 12 takes a moved variant for one not initialized
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::list(std::move(numbers));
}

Value dict_from(const Arguments& arguments, bool is_namespace) {
  Dict result;
  if (!arguments.positional.empty()) result = dict_of(arguments.positional[0]);
  for (const auto& [name, value] : arguments.keyword) result.set(name, value);
  result.is_namespace = is_namespace;
  return Value::dict(std::move(result));
}

Value strftime_now(const Arguments& arguments) {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm local{};
  localtime_r(&now, &local);
  char text[256];
  return std::string(
      text, std::strftime(text, sizeof text, text_of(arguments.get(0, "format")).c_str(), &local));
}

[[noreturn]] Value raise_exception(const Arguments& arguments) {
  fail(ErrorKind::kValue, "the template refuses the conversation: {}",
       arguments.get(0, "message").text());
}

}  // namespace

Value global_function(const std::string& name) {
  if (name == "raise_exception") return Value::function(raise_exception);
  if (name == "strftime_now") return Value::function(strftime_now);
  if (name == "range") return Value::function(range);
  if (name == "dict")
    return Value::function([](const Arguments& a) { return dict_from(a, false); });
  if (name == "namespace")
    return Value::function([](const Arguments& a) { return dict_from(a, true); });
  return {};
}

}  // namespace quanthost::text::jinja
