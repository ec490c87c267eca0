#include <filesystem>
#include <memory>

#include "host/checkpoint/gguf_convert.hpp"
#include "host/cli/model_verbs/convert_format.hpp"
#include "host/cli/model_verbs/model_verb.hpp"

namespace quanthost::cli {
namespace {

struct ConvertOptions {
  std::string from, to, dtype = "bfloat16", format;
};

int convert(Session& session, const ConvertOptions& options) {
  const bool is_folder = std::filesystem::is_directory(options.from);
  if (is_folder && options.format.empty())
    throw CommandError(ExitCode::kUsage, ErrorKind::kValue,
                       fmt::format("{} is a model folder already", options.from),
                       "a GPTQ checkpoint goes into another format with --format gptq, gptq_v2 or "
                       "gptq_p");
  if (!is_folder && !options.format.empty())
    throw CommandError(ExitCode::kUsage, ErrorKind::kValue,
                       fmt::format("--format is for the folder of a GPTQ checkpoint, and {} is no "
                                   "folder",
                                   options.from),
                       "leave it out to convert a GGUF file");
  if (is_folder) return convert_format(session, options.from, options.to, options.format);
  GgufConvertOptions convert;
  convert.dtype = options.dtype == "float32" ? Dtype::kF32 : Dtype::kBF16;
  convert_gguf(options.from, options.to, convert, progress_on_stderr(session, "converting"));
  if (session.json())
    session.print_json("convert",
                       {{"from", options.from}, {"to", options.to}, {"dtype", options.dtype}});
  else
    session.print(fmt::format("{}: written as {}", options.to, options.dtype));
  return 0;
}

}  // namespace

void add_convert(Verb root, Session& session) {
  auto options = std::make_shared<ConvertOptions>();
  model_verb(root, "convert",
             "  quanthost convert model.gguf model\n  quanthost convert model.gguf model-f32 "
             "--dtype float32\n  quanthost convert model-gptq model-gptq-v2 --format gptq_v2")
      .argument("from", options->from, "The GGUF file, or the folder of a GPTQ checkpoint")
      .argument("to", options->to, "The folder to write; it appears whole or not at all")
      .choice("--dtype", options->dtype, {"bfloat16", "float32"},
              "Element type of what a GGUF file becomes (default: bfloat16)")
      .choice("--format", options->format, {"gptq", "gptq_v2", "gptq_p"},
              "Format that a GPTQ checkpoint is written in")
      .run([&session, options] { return convert(session, *options); });
}

}  // namespace quanthost::cli
