#include "host/cli/model_verbs/convert_format.hpp"

#include "host/base/atomic_output.hpp"
#include "host/cli/model_verbs/open_model.hpp"
#include "host/load/save.hpp"

namespace quanthost::cli {
namespace {

// Throws where the folder holds no GPTQ checkpoint: no other method has formats to choose from.
void need_gptq_checkpoint(const std::string& from) {
  const Checkpoint checkpoint = Checkpoint::open(model_folder(from));
  const Json* config = checkpoint.quantization_config();
  const std::string method = config ? config->value("quant_method", "") : "";
  if (method == "gptq") return;
  throw CommandError(
      ExitCode::kUsage, ErrorKind::kValue,
      method.empty() ? fmt::format("{} is not quantized: there is no format to convert", from)
                     : fmt::format("{} is quantized with {}, which has one format", from, method),
      "formats are GPTQ's: gptq, gptq_v2 and gptq_p");
}

}  // namespace

int convert_format(Session& session, const std::string& from, const std::string& to,
                   const std::string& format) {
  need_gptq_checkpoint(from);
  ModelOptions options;
  options.path = from;
  options.method = "gptq";
  options.settings = {"save_format=" + format};
  LoadSession work(session, options);
  LoadedModel loaded = work.plan();
  need_replaceable(to, OutputKind::kDirectory);
  work.run(loaded);
  SaveOptions save;
  save.progress = &work.progress();
  save.cancel = &interrupt_token();
  save_model(loaded, to, save);
  if (session.json())
    session.print_json("convert", {{"from", from}, {"to", to}, {"format", format}});
  else
    session.print(fmt::format("{}: saved as {}", to, format));
  return 0;
}

}  // namespace quanthost::cli
