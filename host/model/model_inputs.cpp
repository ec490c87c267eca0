#include "host/model/model_inputs.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "host/base/error.hpp"

namespace quanthost::model {

at::Tensor& input_named(ModelInputs& inputs, std::string_view name) {
  const std::array<at::Tensor*, kInputNames.size()> slots{
      &inputs.input_ids, &inputs.attention_mask, &inputs.position_ids, &inputs.token_type_ids,
      &inputs.pixel_values};
  const auto found = std::ranges::find(kInputNames, name);
  if (found == kInputNames.end()) {
    throw Error(
        ErrorKind::kKey, fmt::format("forward has no input \"{}\"", name),
        "inputs are input_ids, attention_mask, position_ids, token_type_ids and pixel_values");
  }
  return *slots[static_cast<std::size_t>(found - kInputNames.begin())];
}

void check_inputs(const Model& model, const ModelInputs& inputs) {
  const std::string& main = model.info().main_input_name;
  const bool image = main == "pixel_values";
  const at::Tensor& tensor = image ? inputs.pixel_values : inputs.input_ids;
  const std::int64_t dimensions = image ? 4 : 2;
  if (!tensor.defined()) fail(ErrorKind::kKey, "forward needs the input {}", main);
  if (tensor.dim() != dimensions) {
    fail(ErrorKind::kValue, "{} has {} dimensions, {} are needed", main, tensor.dim(), dimensions);
  }
  if (image) return;
  if (tensor.scalar_type() != at::kLong)
    fail(ErrorKind::kType, "input_ids holds {}, int64 is needed",
         c10::toString(tensor.scalar_type()));
  const std::int64_t rows = model.config().vocab_size;
  if (tensor.numel() > 0 &&
      (tensor.min().item<std::int64_t>() < 0 || tensor.max().item<std::int64_t>() >= rows))
    fail(ErrorKind::kValue, "input_ids holds a token outside of the vocabulary of {}", rows);
}

}  // namespace quanthost::model
