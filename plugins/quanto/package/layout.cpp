// Moves bytes between layouts. Plain loops: none of this is on the way of a module's forward.
#include "package/layout.hpp"

#include <cstring>

namespace quanthost::quanto {
namespace {

// Calls body(row, index in the dense matrix) for each element of the row that belongs to a scale of
// AXIS_LAST. optimum-quanto's group() puts group j of column a at a * groups + j.
template <typename Body>
void for_each_of_scale(const Weight& w, std::int64_t scale, Body&& body) {
  const std::int64_t values = w.values_of_a_scale();
  const std::int64_t groups = w.rows / values;
  const std::int64_t column = scale / groups, group = scale % groups;
  for (std::int64_t i = 0; i < values; ++i) body(i, (group * values + i) * w.columns + column);
}

template <typename T>
void gather_rows(const qh::Exec& exec, const Weight& w, const T* dense, T* rows) {
  const std::int64_t values = w.values_of_a_scale();
  exec.parallel_for(w.scales(), 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s)
      for_each_of_scale(w, s,
                        [&](std::int64_t i, std::int64_t at) { rows[s * values + i] = dense[at]; });
  });
}
template <typename T>
void scatter_rows(const qh::Exec& exec, const Weight& w, const T* rows, T* dense) {
  const std::int64_t values = w.values_of_a_scale();
  exec.parallel_for(w.scales(), 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s)
      for_each_of_scale(w, s,
                        [&](std::int64_t i, std::int64_t at) { dense[at] = rows[s * values + i]; });
  });
}

}  // namespace

void pack_values(const qh::Exec& exec, int bits, std::int64_t rows, std::int64_t columns,
                 const std::uint8_t* values, std::uint8_t* packed) {
  const std::int64_t planes = ceil_div(rows, 8 / bits);
  exec.parallel_for(planes, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      for (std::int64_t c = 0; c < columns; ++c) {
        unsigned byte = 0;
        for (int i = 0; i < 8 / bits && r + i * planes < rows; ++i)
          byte |= static_cast<unsigned>(values[(r + i * planes) * columns + c]) << (bits * i);
        packed[r * columns + c] = static_cast<std::uint8_t>(byte);
      }
  });
}

void unpack_values(const qh::Exec& exec, int bits, std::int64_t rows, std::int64_t columns,
                   const std::uint8_t* packed, std::uint8_t* values) {
  const std::int64_t planes = ceil_div(rows, 8 / bits);
  const unsigned mask = (1u << bits) - 1u;
  exec.parallel_for(rows, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      for (std::int64_t c = 0; c < columns; ++c)
        values[r * columns + c] = static_cast<std::uint8_t>(
            static_cast<unsigned>(packed[(r % planes) * columns + c]) >> (bits * (r / planes)) &
            mask);
  });
}

void last_axis_to_rows(const qh::Exec& exec, const Weight& w, std::int64_t element,
                       const void* dense, void* rows) {
  if (element == 4)
    gather_rows(exec, w, static_cast<const std::uint32_t*>(dense),
                static_cast<std::uint32_t*>(rows));
  else if (element == 2)
    gather_rows(exec, w, static_cast<const std::uint16_t*>(dense),
                static_cast<std::uint16_t*>(rows));
  else
    gather_rows(exec, w, static_cast<const std::uint8_t*>(dense), static_cast<std::uint8_t*>(rows));
}

void rows_to_last_axis(const qh::Exec& exec, const Weight& w, std::int64_t element,
                       const void* rows, void* dense) {
  if (element == 4)
    scatter_rows(exec, w, static_cast<const std::uint32_t*>(rows),
                 static_cast<std::uint32_t*>(dense));
  else if (element == 2)
    scatter_rows(exec, w, static_cast<const std::uint16_t*>(rows),
                 static_cast<std::uint16_t*>(dense));
  else
    scatter_rows(exec, w, static_cast<const std::uint8_t*>(rows),
                 static_cast<std::uint8_t*>(dense));
}

void transpose_bytes(const qh::Exec& exec, std::int64_t rows, std::int64_t columns,
                     const std::uint8_t* in, std::uint8_t* out) {
  exec.parallel_for(columns, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c)
      for (std::int64_t r = 0; r < rows; ++r) out[c * rows + r] = in[r * columns + c];
  });
}

}  // namespace quanthost::quanto
