// What a checkpoint is, from its headers and JSON files alone: the answer to `quanthost inspect`.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "host/base/json.hpp"
#include "host/checkpoint/safetensors_header.hpp"

namespace quanthost {

struct DtypeSummary {
  Dtype dtype = Dtype::kF32;
  std::uint64_t tensors = 0;
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
};

struct FileSummary {
  std::string name;  // within the directory
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;  // of the file
};

struct TensorSummary {
  TensorDeclaration tensor;
  std::uint64_t bytes = 0;
  std::string file;
};

struct CheckpointDescription {
  std::filesystem::path directory;
  std::string architecture;  // "LlamaForCausalLM"; empty without a config.json that says so
  std::string model_type;    // "llama"
  std::optional<Dtype> config_dtype;
  std::string quant_method;  // "bitsandbytes", "gptq", "quanto"…; empty when not quantized
  Json quantization_config;  // null when not quantized
  Metadata metadata;
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
  std::vector<FileSummary> files;
  std::vector<DtypeSummary> dtypes;    // most bytes first
  std::vector<TensorSummary> tensors;  // by name, numbers as numbers
};

// Reads no tensor data. Throws what Checkpoint::open throws.
CheckpointDescription describe_checkpoint(const std::filesystem::path& path);

// The same as one JSON object, for programs.
Json to_json(const CheckpointDescription& description);

}  // namespace quanthost
