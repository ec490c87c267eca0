// Quantizing a tree of modules that an application built and filled itself: no checkpoint, no
// stream; the same slots in the same order.
#pragma once

#include "host/load/loader.hpp"

namespace quanthost {

struct InPlaceOptions {
  UserQuantization quantization;
  std::string name = "model";    // in messages
  Json config = Json::object();  // what config.json would hold
  std::string output_embedding;  // full name of the head; empty: none
  Progress* progress = nullptr;
  const CancelToken* cancel = nullptr;
};

// Replaces the layers that the method wants. Everything else keeps its value, type and gradient. On
// failure the tree is as it was; until the end the dense weights are kept for that. Throws kValue
// for a parameter without memory, and for a method that needs calibration.
LoadedModel quantize_in_place(PluginHost& plugins, std::shared_ptr<model::Module> root,
                              const InPlaceOptions& options);

}  // namespace quanthost
