// Turns a GGUF file into a Hugging Face checkpoint directory.
#pragma once

#include <filesystem>

#include "host/base/progress.hpp"
#include "host/checkpoint/dtype.hpp"

namespace quanthost {

struct GgufConvertOptions {
  Dtype dtype = Dtype::kBF16;  // or kF32; other types are an Error
  std::uint64_t max_shard_bytes = 50'000'000'000;
};

// Writes tensors, config.json, generation_config.json, tokenizer.json and tokenizer_config.json to
// `directory`, which appears whole or not at all. Every value is dequantized as ggml's reference
// does and rounded once. Memory: one tensor at a time. Progress counts the bytes written.
void convert_gguf(const std::filesystem::path& file, const std::filesystem::path& directory,
                  const GgufConvertOptions& options = {}, const ByteProgress& progress = {});

}  // namespace quanthost
