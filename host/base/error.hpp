// The one exception type of the host: what failed, what was found, what was needed, what to do.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace quanthost {

// The kinds that transformers' Python classes raise, plus the ones only a C++ host meets. The
// values are those of qh_status in <quanthost/abi.h>.
enum class ErrorKind : std::int32_t {
  kImport = 1,     // a required package is missing or too old
  kValue = 2,      // an argument or option has a value that is not allowed
  kRuntime = 3,    // the operation cannot be done in this state or on this machine
  kAttribute = 4,  // the object does not offer this
  kNotImplemented = 5,
  kOs = 6,      // a file or the system refused
  kMemory = 7,  // not enough memory, or a cap would be passed
  kType = 8,    // an argument or option has the wrong type
  kKey = 9,     // a named tensor, module or entry does not exist
  kCancelled = 10,
  kInternal = 11,  // a bug: an exception that nobody should have let through
};

std::string_view name_of(
    ErrorKind kind);  // "ImportError", "ValueError", … as Python users know them

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, std::string message, std::string hint = {});

  ErrorKind kind() const noexcept { return kind_; }
  const std::string& message() const noexcept { return message_; }
  const std::string& hint() const noexcept { return hint_; }  // what to do about it; may be empty

  // Adds where it happened in front, outermost first: "model.safetensors: tensor lm_head.weight:
  // …". The first cause always stays at the end of the message.
  Error within(std::string_view where) const;

 private:
  ErrorKind kind_;
  std::string message_;
  std::string hint_;
};

template <typename... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace quanthost
