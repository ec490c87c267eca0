// A small model of linear layers for the conformance suite, with the checkpoint it is loaded from.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "host/conformance/mock_tensor.hpp"
#include "quanthost/abi/services.h"

namespace quanthost::conformance {

struct MockModule {
  std::string name;
  std::string class_name;
  std::string parent;
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;
  bool has_bias = false;
  const qh_module_class* klass =
      nullptr;                 // set once a plugin replaced the module; identifies the class
  qh_module_class table{};     // what it holds, as far as the plugin knows it
  qh_module* state = nullptr;  // belongs to the model
};

class MockModel {
 public:
  // Layers: 128→96 with bias, 96→130 without, 160→64 with bias, and an output head that quantizers
  // skip by default.
  MockModel(qh_dtype dtype, std::uint64_t seed);
  ~MockModel();
  MockModel(const MockModel&) = delete;
  MockModel& operator=(const MockModel&) = delete;

  qh_model* handle() { return reinterpret_cast<qh_model*>(this); }
  static MockModel& from(qh_model* handle) { return *reinterpret_cast<MockModel*>(handle); }

  MockModule* find(std::string_view name);
  // Replaces or restores; destroys a plugin's state that was there.
  void replace(MockModule& module, const qh_module_class* klass, qh_module* state);

  qh_dtype dtype;
  std::vector<MockModule> modules;           // in definition order
  std::map<std::string, Owned> parameters;   // of modules that are still the host's own
  std::map<std::string, Owned> checkpoint;   // what the file holds
  std::map<std::string, std::string> files;  // further files of the checkpoint
  std::map<std::string, std::string> attributes;
};

}  // namespace quanthost::conformance
