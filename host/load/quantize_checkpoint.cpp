#include "host/load/quantize_checkpoint.hpp"

#include "host/base/atomic_output.hpp"

namespace quanthost {
namespace {

void need_something_to_do(const LoadedModel& planned, const LoadOptions& options,
                          const OptionNames& names) {
  if (!planned.quantizer) {
    throw UserOptionError(
        ErrorKind::kValue, "quantize needs a method",
        fmt::format("name one with {} ({} lists them), or a file with {}", names.method,
                    names.list_of_methods, names.quantization_file));
  }
  if (planned.quantizer->pre_quantized() && !options.quantization.method.empty()) {
    throw UserOptionError(
        ErrorKind::kValue,
        fmt::format("{} is quantized already, with {}", options.checkpoint.string(),
                    planned.quantizer->config().spec->method),
        "dequantize it first ('quanthost dequantize'), or leave out the method to save it again as "
        "it is");
  }
}

}  // namespace

void quantize_checkpoint(LoadedModel& planned, LoadOptions options,
                         const std::filesystem::path& directory, const SaveOptions& save,
                         const OptionNames& names) {
  need_something_to_do(planned, options, names);
  need_serializable(*planned.quantizer);
  need_replaceable(directory, OutputKind::kDirectory);
  spool_for_saving(options, *planned.quantizer, directory);
  run_load(planned, options);
  save_model(planned, directory, save);
}

}  // namespace quanthost
