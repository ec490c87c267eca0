// What the page shows, gathered from any number of sources: JSON that the verbs print, traces, the
// report of a calibration, and model folders.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "host/base/json.hpp"
#include "host/checkpoint/describe.hpp"

namespace quanthost::report {

struct LayerSize {
  std::string name, module_class;
  double before = 0, after = 0;  // bytes; before is 0 when it is not known
  bool quantized = false;
};

struct LayerError {
  std::string name;
  int bits = 0, group_size = 0;
  double loss = 0;       // what calibration minimizes
  double rtn_error = 0;  // relative, of rounding to nearest
  double error = 0;      // relative, of the method
  double seconds = 0;
};

struct Span {
  std::string name;
  double begin_ms = 0, length_ms = 0;
};

struct MemorySample {
  double at_ms = 0, bytes = 0;
};

struct Speed {
  std::string method;
  double load_seconds = 0, prefill = 0,
         decode = 0;  // the latter two in tokens a second; 0: unknown
  double model_bytes = 0, peak_bytes = 0;
};

struct LayerSpeed {
  std::string method, module_class;
  std::int64_t in = 0, out = 0, rows = 0;
  double seconds = 0, dense_seconds = 0;
};

struct RunData {
  std::vector<std::pair<std::string, std::string>> facts;  // label and value, in order
  std::vector<LayerSize> layers;
  std::vector<LayerError> errors;
  std::vector<Span> stages;
  std::vector<MemorySample> memory;
  std::vector<Speed> speeds;
  std::vector<LayerSpeed> layer_speeds;

  bool empty() const {
    return layers.empty() && errors.empty() && stages.empty() && memory.empty() && speeds.empty();
  }
};

// Adds what one document tells, by its schema; a list of them is added in order. Throws kValue for
// a document that is none of those the page knows, naming `where`.
void add_document(RunData& data, const Json& document, const std::string& where);

// Adds a model from its headers alone: the sizes of its layers as they are stored. A first
// model is what was, a second one what became of it.
void add_model(RunData& data, const CheckpointDescription& model);

}  // namespace quanthost::report
