// How long work tells its caller how far it is, and how the caller stops it.
#pragma once

#include <cstdint>
#include <functional>

#include "host/base/error.hpp"

namespace quanthost {

// Called on the working thread with bytes done and in total. Returning false cancels the work,
// which then throws Error(kCancelled). An empty function reports to nobody.
using ByteProgress = std::function<bool(std::uint64_t done, std::uint64_t total)>;

inline void report(const ByteProgress& progress, std::uint64_t done, std::uint64_t total) {
  if (progress && !progress(done, total)) throw Error(ErrorKind::kCancelled, "cancelled");
}

}  // namespace quanthost
