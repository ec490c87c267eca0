#include "host/base/error.hpp"

namespace quanthost {
namespace {

std::string full_text(const std::string& message, const std::string& hint) {
  return hint.empty() ? message : message + "\n  hint: " + hint;
}

}  // namespace

std::string_view name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kImport:
      return "ImportError";
    case ErrorKind::kValue:
      return "ValueError";
    case ErrorKind::kRuntime:
      return "RuntimeError";
    case ErrorKind::kAttribute:
      return "AttributeError";
    case ErrorKind::kNotImplemented:
      return "NotImplementedError";
    case ErrorKind::kOs:
      return "OSError";
    case ErrorKind::kMemory:
      return "MemoryError";
    case ErrorKind::kType:
      return "TypeError";
    case ErrorKind::kKey:
      return "KeyError";
    case ErrorKind::kCancelled:
      return "Cancelled";
    case ErrorKind::kInternal:
      return "InternalError";
  }
  return "Error";
}

Error::Error(ErrorKind kind, std::string message, std::string hint)
    : std::runtime_error(full_text(message, hint)),
      kind_(kind),
      message_(std::move(message)),
      hint_(std::move(hint)) {}

Error Error::within(std::string_view where) const {
  return Error(kind_, fmt::format("{}: {}", where, message_), hint_);
}

}  // namespace quanthost
