// A fault found while a kernel runs: which thread, where, and what.
#pragma once

#include <string>

#include "quanthost/kernel/emulated/runtime.hpp"

namespace quanthost::gpu::emulated {

// Thrown inside a kernel to leave it; run() turns the first one into gpu::Error.
struct Fault {
  std::string message;
};
// Thrown inside the other threads of a block in which a fault happened, so that their objects are
// destroyed.
struct Abandoned {};

std::string to_text(const Size3& index);  // "(1,2,3)"
std::string to_text(const Site& site);    // "path/kernel.cu:12"

// "thread (1,0,0) of block (0,0,0) at path/kernel.cu:12 in <function>: <what>"
std::string describe(const Self& thread, const Site& site, const std::string& what);

}  // namespace quanthost::gpu::emulated
