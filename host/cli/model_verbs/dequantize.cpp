#include <memory>

#include "host/base/atomic_output.hpp"
#include "host/cli/model_verbs/open_model.hpp"
#include "host/load/save.hpp"

namespace quanthost::cli {
namespace {

struct DequantizeFlags : ModelOptions {
  std::string out;
};

int dequantize(Session& session, const DequantizeFlags& flags) {
  LoadSession work(session, flags);
  LoadedModel loaded = work.plan();
  need_dequantizable(loaded);
  need_replaceable(flags.out, OutputKind::kDirectory);
  work.run(loaded);
  const std::string method = loaded.quantizer->config().spec->method;
  dequantize_model(loaded, to_qh_dtype(loaded.dtype));
  SaveOptions save;
  save.progress = &work.progress();
  save.cancel = &interrupt_token();
  save.trace = work.trace();
  save_model(loaded, flags.out, save);
  if (session.json()) {
    session.print_json(
        "dequantize",
        {{"out", flags.out}, {"method", method}, {"dtype", name_of(to_qh_dtype(loaded.dtype))}});
  } else {
    session.print(fmt::format("{}: {} undone, saved in {}", flags.out, method,
                              name_of(to_qh_dtype(loaded.dtype))));
  }
  return 0;
}

}  // namespace

void add_dequantize(Verb root, Session& session) {
  auto flags = std::make_shared<DequantizeFlags>();
  Verb verb = model_verb(root, "dequantize", "  quanthost dequantize out dense --dtype bfloat16");
  add_model_options(verb, *flags);
  verb.argument("OUT", flags->out, "Directory to write").run([&session, flags] {
    return dequantize(session, *flags);
  });
}

}  // namespace quanthost::cli
