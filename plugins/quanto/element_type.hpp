// The element type that holds a quantized value.
#pragma once

#include <quanthost/plugin/tensor.hpp>

#include "format.hpp"

namespace quanthost::quanto {

// 2 and 4 bits are packed into bytes.
inline qh_dtype data_dtype(QType qtype) {
  switch (qtype) {
    case QType::int8:
      return qh::kInt8;
    case QType::float8_e4m3fn:
      return qh::kFloat8E4m3fn;
    case QType::float8_e4m3fnuz:
      return qh::kFloat8E4m3fnuz;
    case QType::float8_e5m2:
      return qh::kFloat8E5m2;
    default:
      return qh::kUint8;
  }
}

}  // namespace quanthost::quanto
