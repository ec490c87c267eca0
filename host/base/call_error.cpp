#include "host/base/call_error.hpp"

#include <string>

namespace quanthost {
namespace {

struct LeftError {
  ErrorKind kind = ErrorKind::kInternal;
  bool present = false;
  std::string message;
  std::string hint;
};

LeftError& left() noexcept {
  thread_local LeftError error;
  return error;
}

bool is_kind(std::int32_t status) {
  return status >= static_cast<std::int32_t>(ErrorKind::kImport) &&
         status <= static_cast<std::int32_t>(ErrorKind::kInternal);
}

}  // namespace

void leave_call_error(ErrorKind kind, std::string_view message, std::string_view hint) noexcept {
  LeftError& error = left();
  error.kind = is_kind(static_cast<std::int32_t>(kind)) ? kind : ErrorKind::kInternal;
  error.present = true;
  error.message.clear();
  error.hint.clear();
  try {
    error.message = message;
    error.hint = hint;
  } catch (...) {
  }
}

void clear_call_error() noexcept { left().present = false; }

Error take_call_error(std::int32_t status) {
  LeftError& error = left();
  if (!is_kind(status)) {
    const std::string said = error.present ? ": " + error.message : "";
    error.present = false;
    return Error(
        ErrorKind::kInternal,
        fmt::format("a plugin returned status {}, which is no status of the ABI{}", status, said));
  }
  const auto kind = static_cast<ErrorKind>(status);
  if (!error.present || error.message.empty()) {
    error.present = false;
    return Error(kind, "the plugin failed and gave no reason",
                 "ask the plugin's author: every failure needs a text");
  }
  error.present = false;
  return Error(kind, std::move(error.message), std::move(error.hint));
}

}  // namespace quanthost
