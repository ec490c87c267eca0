// Errors of a plugin, and the one place where C++ failure becomes a status of the ABI.
#pragma once

#include <quanthost/abi/plugin.h>

#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <utility>

namespace qh {

inline qh_str to_abi(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view from_abi(qh_str text) {
  return text.size ? std::string_view(text.data, text.size) : std::string_view();
}

// What failed and what to do about it. `kind` is one of QH_ERR_*.
class Error : public std::exception {
 public:
  Error(qh_status kind, std::string message, std::string hint = {})
      : kind_(kind), message_(std::move(message)), hint_(std::move(hint)) {}

  qh_status kind() const noexcept { return kind_; }
  const std::string& message() const noexcept { return message_; }
  const std::string& hint() const noexcept { return hint_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  qh_status kind_;
  std::string message_;
  std::string hint_;
};

// A host service failed and has recorded why: the status travels on as it is.
class HostFailure : public std::exception {
 public:
  explicit HostFailure(qh_status status) : status_(status) {}
  qh_status status() const noexcept { return status_; }
  const char* what() const noexcept override { return "a host service failed"; }

 private:
  qh_status status_;
};

// For the result of a host service.
inline void check(qh_status status) {
  if (status != QH_OK) throw HostFailure(status);
}

// Runs `body` and turns whatever it throws into a status, with the text left at the host.
template <typename Body>
qh_status guard(qh_host* host, const qh_host_api& api, Body&& body) noexcept {
  const auto report = [&](qh_status kind, std::string_view message,
                          std::string_view hint = {}) noexcept {
    if (api.set_error) api.set_error(host, kind, to_abi(message), to_abi(hint));
    return kind;
  };
  try {
    body();
    return QH_OK;
  } catch (const HostFailure& failure) {
    return failure.status();
  } catch (const Error& error) {
    return report(error.kind() == QH_OK ? QH_ERR_INTERNAL : error.kind(), error.message(),
                  error.hint());
  } catch (const std::bad_alloc&) {
    return report(QH_ERR_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return report(QH_ERR_RUNTIME, error.what());
  } catch (...) {
    return report(QH_ERR_INTERNAL, "an exception of unknown type was thrown");
  }
}

}  // namespace qh
