// forward()'s inputs under the names that transformers gives its arguments.
#pragma once

#include <array>
#include <string_view>

#include "host/model/model.hpp"

namespace quanthost::model {

inline constexpr std::array<std::string_view, 5> kInputNames{
    "input_ids", "attention_mask", "position_ids", "token_type_ids", "pixel_values"};

// Throws kKey for another name.
at::Tensor& input_named(ModelInputs& inputs, std::string_view name);

// What people give is checked before it is computed with: the main input is there, has the type and
// the dimensions that the model takes, and its tokens are in the vocabulary.
void check_inputs(const Model& model, const ModelInputs& inputs);

}  // namespace quanthost::model
