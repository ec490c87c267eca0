#include <memory>

#include "host/checkpoint/gguf_convert.hpp"
#include "host/cli/model_verbs/model_verb.hpp"

namespace quanthost::cli {
namespace {

struct Options {
  std::string from, to, dtype = "bfloat16";
};

int convert(Session& session, const Options& options) {
  GgufConvertOptions convert;
  convert.dtype = options.dtype == "float32" ? Dtype::kF32 : Dtype::kBF16;
  convert_gguf(options.from, options.to, convert, progress_on_stderr(session, "converting"));
  if (session.json())
    session.print_json("convert",
                       {{"from", options.from}, {"to", options.to}, {"dtype", options.dtype}});
  return 0;
}

}  // namespace

void add_convert(Verb root, Session& session) {
  auto options = std::make_shared<Options>();
  model_verb(root, "convert",
             "  quanthost convert model.gguf model\n  quanthost convert model.gguf model-f32 "
             "--dtype float32")
      .argument("from", options->from, "The GGUF file")
      .argument("to", options->to, "The folder to write; it appears whole or not at all")
      .choice("--dtype", options->dtype, {"bfloat16", "float32"},
              "Element type of the result (default: bfloat16)")
      .run([&session, options] { return convert(session, *options); });
}

}  // namespace quanthost::cli
