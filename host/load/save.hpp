// Writing a loaded model as a checkpoint, and turning a quantized one back into a dense one.
#pragma once

#include <filesystem>

#include "host/load/loader.hpp"

namespace quanthost {

struct SaveOptions {
  std::uint64_t max_shard_bytes = 50'000'000'000;
  Progress* progress = nullptr;
  const CancelToken* cancel = nullptr;
  Trace* trace = nullptr;
};

// Throws kValue for a method whose models cannot be stored: before the work, where the caller asks
// first.
void need_serializable(Quantizer& quantizer);

// A model that is loaded in order to be saved there need not be in memory at once: its finished
// parts go into a file on the same disk. Nothing for methods that look at the whole model when it
// is loaded.
void spool_for_saving(LoadOptions& options, const Quantizer& quantizer,
                      const std::filesystem::path& directory);

// The directory appears whole or not at all: tensors, config.json with the quantization config, the
// quantizer's own files, and what stays as it was (tokenizer, generation settings).
void save_model(LoadedModel& loaded, const std::filesystem::path& directory,
                const SaveOptions& options = {});

// Throws kValue for a model that is not quantized.
void need_dequantizable(const LoadedModel& loaded);
// Every quantized layer becomes a plain one; the model is no longer quantized, and saves without a
// quantization config.
void dequantize_model(LoadedModel& loaded, qh_dtype dtype);

}  // namespace quanthost
