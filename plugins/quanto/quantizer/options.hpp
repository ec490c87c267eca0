// QuantoConfig's fields as types, and the names optimum-quanto gives them.
#pragma once

#include <optional>
#include <quanthost/plugin/quantizer.hpp>
#include <string>

#include "format.hpp"

namespace quanthost::quanto {

// "int4" as QuantoConfig says it, "qint4" as optimum-quanto does.
QType qtype_from_config(std::string_view name);
QType qtype_from_map(std::string_view name);
std::string map_name(QType qtype);

struct Options {
  QType weights;
  std::optional<QType> activations;
  std::int32_t optimizer;  // QH_QUANTO_OPTIMIZER_*

  explicit Options(const qh::Config& config);
};

}  // namespace quanthost::quanto
