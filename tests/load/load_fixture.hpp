// What the tests of the load pipeline share: a folder, real plugins, and checkpoints made from the
// goldens.
#pragma once

#include <ATen/ops/abs.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>

#include "host/base/file.hpp"
#include "host/checkpoint/checkpoint_writer.hpp"
#include "host/checkpoint/safetensors_writer.hpp"
#include "host/load/quantize_checkpoint.hpp"
#include "host/load/save.hpp"
#include "tests/error_of.hpp"
#include "tests/folders.hpp"

namespace quanthost {

namespace fs = std::filesystem;

inline const fs::path kGoldens = fs::path(test::source_folder()) / "tests/model/goldens";

class LoadPipeline : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("quanthost-load-{}-{}", getpid(), counter_++);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static PluginHost& plugins() {
    static PluginHost host([] {
      PluginHostOptions options;
      options.plugin_paths = {fs::path(test::build_folder()) / "plugins",
                              fs::path(test::build_folder()) / "tests/load_plugins"};
      options.use_cache = false;
      options.probe_before_first_use = false;
      options.trust = TrustPolicy::kOff;
      return options;
    }());
    return host;
  }

  LoadOptions options(const fs::path& checkpoint, const std::string& method = "") {
    LoadOptions options;
    options.checkpoint = checkpoint;
    options.quantization = user_quantization(method, {});
    options.trace = &trace_;
    return options;
  }

  fs::path copy_of(const std::string& golden) {
    const fs::path to = folder_ / golden;
    fs::copy(kGoldens / golden, to);
    return to;
  }

  // Rewrites the checkpoint's tensors through `change`, which may drop or reshape them.
  template <typename Change>
  void rewrite(const fs::path& checkpoint, Change&& change) {
    std::vector<TensorDeclaration> declarations;
    std::map<std::string, std::string> data;
    {
      const SafetensorsFile file = SafetensorsFile::open(checkpoint / "model.safetensors");
      for (const TensorInfo& info : file.tensors()) {
        TensorDeclaration declaration = info;
        if (!change(declaration)) continue;
        std::string bytes(storage_bytes(declaration.dtype, declaration.shape), '\0');
        const auto view = file.view(info);
        std::memcpy(bytes.data(), view.data(), std::min(bytes.size(), view.size()));
        data[declaration.name] = std::move(bytes);
        declarations.push_back(std::move(declaration));
      }
    }
    SafetensorsWriter writer(checkpoint / "model.safetensors", declarations, {{"format", "pt"}});
    for (const auto& [name, bytes] : data) writer.write(name, std::as_bytes(std::span(bytes)));
    writer.finish();
  }

  // The golden llama with more layers, copies of its first, in shards of at most `shard_bytes`.
  fs::path deep_llama(int layers, std::uint64_t shard_bytes) {
    const fs::path to = folder_ / "deep";
    fs::create_directories(to);
    Json config = parse_json(read_text_file(kGoldens / "llama/config.json"), "config.json");
    config["num_hidden_layers"] = layers;
    write_json_file(to / "config.json", config);
    const SafetensorsFile golden = SafetensorsFile::open(kGoldens / "llama/model.safetensors");
    const std::string first = "model.layers.0.";
    std::vector<TensorDeclaration> declarations;
    std::vector<const TensorInfo*> sources;
    for (const TensorInfo& info : golden.tensors()) {
      const bool of_first = info.name.starts_with(first);
      if (info.name.starts_with("model.layers.") && !of_first) continue;
      for (int layer = 0; layer < (of_first ? layers : 1); ++layer) {
        declarations.push_back(info);
        sources.push_back(&info);
        if (of_first)
          declarations.back().name =
              fmt::format("model.layers.{}.{}", layer, info.name.substr(first.size()));
      }
    }
    CheckpointWriterOptions writer_options;
    writer_options.max_shard_bytes = shard_bytes;
    CheckpointWriter writer(to, declarations, writer_options);
    for (std::size_t i = 0; i < declarations.size(); ++i)
      writer.write(declarations[i].name, golden.view(*sources[i]));
    writer.finish();
    return to;
  }

  // As the verb `quantize` and Host::quantize do it.
  static LoadedModel quantize(const LoadOptions& how, const fs::path& out,
                              const SaveOptions& save = {}) {
    LoadedModel loaded = plan_load(plugins(), how);
    quantize_checkpoint(loaded, how, out, save, command_option_names());
    return loaded;
  }

  std::vector<std::string> slots() {
    std::vector<std::string> out;
    for (const Trace::Event& event : trace_.events()) {
      if (event.category == "slot" && (out.empty() || out.back() != event.name))
        out.push_back(event.name);
    }
    return out;
  }

  static at::Tensor stored(const fs::path& file, const std::string& name) {
    const SafetensorsFile opened = SafetensorsFile::open(file);
    const TensorInfo& info = *opened.find(name);
    at::Tensor value = at::empty(info.shape, to_scalar_type(info.dtype));
    opened.read(info, {static_cast<std::byte*>(value.mutable_data_ptr()), value.nbytes()});
    return value;
  }

  static double relative_error(const at::Tensor& got, const at::Tensor& wanted) {
    return ((got - wanted).abs().max() / wanted.abs().max()).item<double>();
  }

  at::Tensor output_of(LoadedModel& loaded, const std::string& golden) {
    const c10::InferenceMode inference;
    const fs::path expected = kGoldens / golden / "expected.safetensors";
    const bool image = SafetensorsFile::open(expected).find("pixel_values") != nullptr;
    model::ModelInputs inputs;
    (image ? inputs.pixel_values : inputs.input_ids) =
        stored(expected, image ? "pixel_values" : "input_ids");
    return loaded.model->forward(inputs).to(at::kFloat);
  }

  fs::path folder_;
  Trace trace_;
  inline static int counter_ = 0;
};

}  // namespace quanthost
