#include "host/checkpoint/describe.hpp"

#include <algorithm>

#include "host/checkpoint/checkpoint.hpp"
#include "host/checkpoint/model_config.hpp"

namespace quanthost {
namespace {

// quanto leaves a map of modules instead of a config; old GPTQ files a quantize_config.json without
// a method.
void describe_quantization(const Checkpoint& checkpoint, CheckpointDescription& description) {
  if (const Json* config = checkpoint.quantization_config()) {
    description.quantization_config = *config;
    description.quant_method = text_entry(*config, "quant_method");
    if (description.quant_method.empty()) {
      description.quant_method =
          checkpoint.json_file("quantize_config.json") == config ? "gptq" : "unknown";
    }
  } else if (const Json* map = checkpoint.quanto_qmap()) {
    description.quantization_config = *map;
    description.quant_method = "quanto";
  }
}

std::vector<DtypeSummary> summarize_dtypes(const Checkpoint& checkpoint) {
  std::map<Dtype, DtypeSummary> by_dtype;
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    DtypeSummary& summary = by_dtype[tensor.dtype()];
    summary.dtype = tensor.dtype();
    ++summary.tensors;
    summary.elements += tensor.elements();
    summary.bytes += tensor.bytes();
  }
  std::vector<DtypeSummary> summaries;
  summaries.reserve(by_dtype.size());
  for (const auto& [dtype, summary] : by_dtype) summaries.push_back(summary);
  std::stable_sort(summaries.begin(), summaries.end(),
                   [](const DtypeSummary& a, const DtypeSummary& b) { return a.bytes > b.bytes; });
  return summaries;
}

}  // namespace

CheckpointDescription describe_checkpoint(const std::filesystem::path& path) {
  const Checkpoint checkpoint = Checkpoint::open(path);
  CheckpointDescription description;
  description.directory = checkpoint.directory();
  if (const Json* config = checkpoint.config()) {
    description.architecture = architecture_of_config(*config);
    description.model_type = model_type_of_config(*config);
  }
  description.config_dtype = checkpoint.config_dtype();
  describe_quantization(checkpoint, description);
  description.metadata = checkpoint.metadata();
  description.elements = checkpoint.total_elements();
  description.bytes = checkpoint.total_bytes();
  for (const auto& file : checkpoint.files()) {
    description.files.push_back(
        {file->path().filename().string(), file->tensors().size(), file->file_bytes()});
  }
  description.dtypes = summarize_dtypes(checkpoint);
  for (const StoredTensor& tensor : checkpoint.tensors_by_name()) {
    description.tensors.push_back(
        {tensor.info(), tensor.bytes(), tensor.file().path().filename().string()});
  }
  return description;
}

Json to_json(const CheckpointDescription& description) {
  Json json = {{"directory", description.directory.string()},
               {"architecture", description.architecture},
               {"model_type", description.model_type},
               {"dtype", description.config_dtype ? Json(torch_name(*description.config_dtype))
                                                  : Json(nullptr)},
               {"quant_method",
                description.quant_method.empty() ? Json(nullptr) : Json(description.quant_method)},
               {"quantization_config", description.quantization_config},
               {"metadata", description.metadata},
               {"elements", description.elements},
               {"bytes", description.bytes},
               {"files", Json::array()},
               {"dtypes", Json::array()},
               {"tensors", Json::array()}};
  for (const FileSummary& file : description.files) {
    json["files"].push_back(
        {{"name", file.name}, {"tensors", file.tensors}, {"bytes", file.bytes}});
  }
  for (const DtypeSummary& summary : description.dtypes) {
    json["dtypes"].push_back({{"dtype", safetensors_name(summary.dtype)},
                              {"tensors", summary.tensors},
                              {"elements", summary.elements},
                              {"bytes", summary.bytes}});
  }
  for (const TensorSummary& summary : description.tensors) {
    json["tensors"].push_back({{"name", summary.tensor.name},
                               {"dtype", safetensors_name(summary.tensor.dtype)},
                               {"shape", summary.tensor.shape},
                               {"bytes", summary.bytes},
                               {"file", summary.file}});
  }
  return json;
}

}  // namespace quanthost
