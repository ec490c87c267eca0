// Moves bytes between layouts: packed planes, and weights quantized along their last axis.
#pragma once

#include <quanthost/plugin/host.hpp>

#include "package/weight.hpp"

namespace quanthost::quanto {

// values [rows, columns], one byte each, to packed [ceil(rows / v), columns] and back.
void pack_values(const qh::Exec&, int bits, std::int64_t rows, std::int64_t columns,
                 const std::uint8_t* values, std::uint8_t* packed);
void unpack_values(const qh::Exec&, int bits, std::int64_t rows, std::int64_t columns,
                   const std::uint8_t* packed, std::uint8_t* values);

// A weight with AXIS_LAST as a matrix with one row for each scale, and back. `element` is the size
// of an element.
void last_axis_to_rows(const qh::Exec&, const Weight&, std::int64_t element, const void* dense,
                       void* rows);
void rows_to_last_axis(const qh::Exec&, const Weight&, std::int64_t element, const void* rows,
                       void* dense);
// out[c][r] = in[r][c], bytes.
void transpose_bytes(const qh::Exec&, std::int64_t rows, std::int64_t columns,
                     const std::uint8_t* in, std::uint8_t* out);

}  // namespace quanthost::quanto
