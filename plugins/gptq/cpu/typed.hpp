// The element type of a tensor, from a value to a C++ type, and the smaller of two sizes. Internal
// linkage: files compiled for one instruction set must not lend their copies.
#pragma once

#include <quanthost/cpu/formats.hpp>

#include "cpu/kernels.hpp"

namespace quanthost::gptq {
namespace {

template <typename Body>
inline void with_type(FloatType type, Body&& body) {
  if (type == FloatType::f32) return body(float{});
  if (type == FloatType::f16) return body(cpu::Float16{});
  return body(cpu::BFloat16{});
}

inline std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

}  // namespace
}  // namespace quanthost::gptq
