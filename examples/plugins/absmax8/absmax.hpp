// The arithmetic of absmax8: q = round(w / scale), scale = max|w| / 127 of a row.
#pragma once

#include <cstdint>

namespace absmax8 {

// Quantizes one row; returns its scale. A row of zeros gets scale 0.
float quantize_row(const float* weight, std::int64_t count, std::int8_t* out);

// sum(x[i] * q[i]); the caller multiplies by the scale.
float dot(const float* x, const std::int8_t* q, std::int64_t count);

// out[i] += factor * q[i]
void add_scaled(const std::int8_t* q, float factor, std::int64_t count, float* out);

}  // namespace absmax8
