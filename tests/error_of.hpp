// The error that a piece of work ends with. Include it behind what declares quanthost::Error: the
// host's own header, or an application's <quanthost/host.hpp>.
#pragma once

#include <gtest/gtest.h>

namespace quanthost {

template <typename Body>
Error error_of(Body&& body) {
  try {
    body();
  } catch (const Error& e) {
    return e;
  }
  ADD_FAILURE() << "nothing failed";
  return Error(ErrorKind::kInternal, "");
}

}  // namespace quanthost
