// A requirement on a package, as `required_packages` and `requires` write it.
#pragma once

#include <string>
#include <string_view>

#include "host/base/json.hpp"
#include "host/plugins/version.hpp"

namespace quanthost {

// Package names compare without case and with -, _ and . as one (PEP 503): auto_gptq is Auto-GPTQ.
std::string normalized_name(std::string_view name);

struct Requirement {
  std::string name;             // as written
  std::string key;              // normalized_name(name)
  Constraints constraints;      // on the version
  std::string interface_id;     // ABI of the package's function table; empty: any
  std::string device = "same";  // "same": the device the plan is for; "any"; or a device kind
  bool optional = false;

  // "bitsandbytes>=0.39.0" or {name, version, interface, device, optional}. `where` names it in
  // errors.
  static Requirement parse(const OrderedJson& entry, std::string_view where);
  static Requirement parse(std::string_view text);

  std::string text() const;  // "bitsandbytes>=0.39.0 (interface qh.bnb4.kernels/1)"
};

}  // namespace quanthost
