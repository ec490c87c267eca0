// Fills a model from a checkpoint at once, all in memory. Loading with plugins, devices and bounds
// is host/load's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/checkpoint/checkpoint.hpp"
#include "host/model/model.hpp"

namespace quanthost::model {

// The parameter that a checkpoint's tensor is meant for, as transformers decides it: the name
// itself, with or without the backbone's prefix, and names that other releases of transformers
// write. Empty when there is none.
std::string parameter_for(Model& model, std::string_view checkpoint_name);

// Whether transformers drops this tensor without a word: masks and tables that old releases stored.
bool is_obsolete(std::string_view checkpoint_name);

at::ScalarType scalar_type(Dtype dtype);  // throws kNotImplemented for what LibTorch does not have
at::ScalarType scalar_type(std::string_view torch_name);  // "bfloat16", "float32", …
// A view of the checkpoint's mapping: valid as long as the Checkpoint, and read-only.
at::Tensor mapped_tensor(const StoredTensor& stored);

// Whether the layer that has this parameter computes in `dtype` with the very values that are
// stored in the smaller type `stored`, so that a model which only runs may keep them so.
bool may_stay_small(Model& model, const std::string& parameter, at::ScalarType stored,
                    at::ScalarType dtype);

enum class SmallTypes { kConvert, kKeep };  // of the weights that may stay small

// Copies every tensor in `dtype` and ties what is tied. Throws kKey when a parameter is missing.
void load_weights(Model& model, const Checkpoint& checkpoint, at::ScalarType dtype,
                  SmallTypes small = SmallTypes::kConvert);

}  // namespace quanthost::model
