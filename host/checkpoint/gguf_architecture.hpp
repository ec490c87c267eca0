// What a GGUF file says about its model, in Hugging Face's words: config.json and the names of the
// tensors.
#pragma once

#include "host/base/json.hpp"
#include "host/checkpoint/gguf_file.hpp"
#include "host/checkpoint/safetensors_header.hpp"

namespace quanthost {

// A tensor of the checkpoint and the GGUF tensor that it is made from.
struct GgufMapping {
  TensorDeclaration target;  // its dtype is the converter's choice
  const GgufTensor* source = nullptr;
  // Other than 0: the rows of each of so many heads are interleaved, as ggml's rotary embedding
  // wants them, and must be put back in two halves.
  std::uint64_t interleaved_heads = 0;
};

struct GgufModel {
  Json config;  // config.json without the ids of special tokens and without a dtype
  std::vector<GgufMapping> tensors;
};

// Throws Error(kNotImplemented) for an architecture that is not read, and Error that names the
// tensor when one is missing, has another shape than the metadata says, or is not known.
GgufModel describe_gguf_model(const GgufFile& file);

}  // namespace quanthost
