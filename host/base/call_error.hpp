// The one place where a call across the plugin ABI leaves why it failed: kept for each thread, read
// directly after the call.
#pragma once

#include <cstdint>
#include <exception>
#include <new>
#include <string_view>

#include "host/base/error.hpp"

namespace quanthost {

// What qh_host_api.set_error does. Never throws: a text that cannot be kept is dropped, its kind
// stays.
void leave_call_error(ErrorKind kind, std::string_view message, std::string_view hint) noexcept;

// Before a call into a plugin: nothing that an earlier call left may be taken for its error.
void clear_call_error() noexcept;

// After a call that returned `status` (a qh_status, not QH_OK): the error it left. A plugin that
// says nothing gets a sentence of ours; a status that is no kind of error becomes kInternal.
Error take_call_error(std::int32_t status);

// Throws what the call left when it failed.
inline void check_call(std::int32_t status) {
  if (status != 0) throw take_call_error(status);
}

// For what the host offers plugins: runs `body`, and turns what it throws into a left error and its
// status.
template <typename Body>
std::int32_t guard_call(Body&& body) noexcept {
  const auto leave = [](ErrorKind kind, std::string_view message,
                        std::string_view hint = {}) noexcept {
    leave_call_error(kind, message, hint);
    return static_cast<std::int32_t>(kind);
  };
  try {
    body();
    return 0;
  } catch (const Error& e) {
    return leave(e.kind(), e.message(), e.hint());
  } catch (const std::bad_alloc&) {
    return leave(ErrorKind::kMemory, "out of memory");
  } catch (const std::exception& e) {
    return leave(ErrorKind::kRuntime, e.what());
  } catch (...) {
    return leave(ErrorKind::kInternal, "an exception of unknown type was thrown");
  }
}

}  // namespace quanthost
