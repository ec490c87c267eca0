#include <fmt/format.h>

#include <memory>

#include "host/checkpoint/describe.hpp"
#include "host/cli/model_verbs/model_verb.hpp"

namespace quanthost::cli {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string mebibytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

int inspect(Session& session, const std::string& path, bool all) {
  const CheckpointDescription d = describe_checkpoint(path);
  if (session.json()) {
    session.print_json("inspect", OrderedJson(to_json(d)));
    return 0;
  }
  session.print(fmt::format("{}: {} ({}), {} parameters, {}", path,
                            d.architecture.empty() ? "unknown architecture" : d.architecture,
                            d.model_type, d.elements, mebibytes(d.bytes)));
  if (!d.quant_method.empty())
    session.print(
        fmt::format("quantized with {}: {}", d.quant_method, d.quantization_config.dump()));
  std::vector<std::vector<std::string>> rows{{"TYPE", "TENSORS", "ELEMENTS", "SIZE"}};
  for (const DtypeSummary& s : d.dtypes)
    rows.push_back({std::string(torch_name(s.dtype)), std::to_string(s.tensors),
                    std::to_string(s.elements), mebibytes(s.bytes)});
  session.print(format_table(rows));
  rows = {{"FILE", "TENSORS", "SIZE"}};
  for (const FileSummary& f : d.files)
    rows.push_back({f.name, std::to_string(f.tensors), mebibytes(f.bytes)});
  session.print(format_table(rows));
  if (!all) return 0;
  rows = {{"TENSOR", "TYPE", "SHAPE", "SIZE", "FILE"}};
  for (const TensorSummary& t : d.tensors)
    rows.push_back({t.tensor.name, std::string(torch_name(t.tensor.dtype)),
                    shape_text(t.tensor.shape), mebibytes(t.bytes), t.file});
  session.print(format_table(rows));
  return 0;
}

}  // namespace

void add_inspect(Verb root, Session& session) {
  auto path = std::make_shared<std::string>();
  auto all = std::make_shared<bool>(false);
  model_verb(root, "inspect",
             "  quanthost inspect models/smollm2\n  quanthost inspect models/smollm2 --tensors")
      .argument("model", *path, "A model folder or a .safetensors file")
      .flag("--tensors", *all, "List every tensor")
      .run([&session, path, all] { return inspect(session, *path, *all); });
}

}  // namespace quanthost::cli
