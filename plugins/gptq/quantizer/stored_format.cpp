// Labels of checkpoint formats.
#include "quantizer/stored_format.hpp"

#include <algorithm>
#include <cctype>
#include <quanthost/plugin/error.hpp>

namespace quanthost::gptq {

StoredAs stored_as(Format format) {
  return {format == Format::gptq_p ? WordLayout::planar : WordLayout::continuous,
          format == Format::gptq ? ZeroFormat::v1 : ZeroFormat::v2};
}

std::string_view label_of(Format format) {
  switch (format) {
    case Format::gptq:
      return "gptq";
    case Format::gptq_v2:
      return "gptq_v2";
    case Format::gptq_p:
      break;
  }
  return "gptq_p";
}

Format format_from(std::string label) {
  std::transform(label.begin(), label.end(), label.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const Format format : {Format::gptq, Format::gptq_v2, Format::gptq_p})
    if (label == label_of(format)) return format;
  throw qh::Error(QH_ERR_VALUE, "checkpoint_format is '" + label + "', which cannot be read",
                  "gptq, gptq_v2 and gptq_p can; formats made for one kernel (marlin, bitblas) "
                  "have to be converted back by the program that wrote them");
}

Format with_zeros(Format label, ZeroFormat zeros) {
  if (stored_as(label).zeros == zeros) return label;
  return zeros == ZeroFormat::v1 ? Format::gptq : Format::gptq_v2;
}

}  // namespace quanthost::gptq
