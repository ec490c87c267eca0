// A checkpoint quantized into another one: what `quanthost quantize` and Host::quantize do.
#pragma once

#include "host/load/save.hpp"

namespace quanthost {

// Runs a planned load and writes what comes of it, part by part where the method allows that, so
// that the model is never in memory at once. A checkpoint that is quantized already is written
// again as it is when no method is named. Refused before a tensor is read: a model without a method
// and a quantized one with one (UserOptionError), a method whose models cannot be stored (kValue),
// and a directory that would not be replaced (kOs).
void quantize_checkpoint(LoadedModel& planned, LoadOptions options,
                         const std::filesystem::path& directory, const SaveOptions& save,
                         const OptionNames& names);

}  // namespace quanthost
