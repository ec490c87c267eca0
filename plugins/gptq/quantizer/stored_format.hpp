// The checkpoint formats by their labels, and what each means for words and zeros.
#pragma once

#include <string>
#include <string_view>

#include "format.hpp"

namespace quanthost::gptq {

enum class Format { gptq, gptq_v2, gptq_p };

// How the tensors of a layer lie in a checkpoint.
struct StoredAs {
  WordLayout layout = WordLayout::continuous;
  ZeroFormat zeros = ZeroFormat::v2;
};

StoredAs stored_as(Format format);
std::string_view label_of(Format format);
// Throws qh::Error (value) for what is no format of GPTQ's, or one that cannot be read.
Format format_from(std::string label);
// The label of a checkpoint whose tensors are known to have these zeros.
Format with_zeros(Format label, ZeroFormat zeros);

}  // namespace quanthost::gptq
