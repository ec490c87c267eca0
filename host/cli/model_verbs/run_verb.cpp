// The doors between the quanthost program and libquanthost.so: runs a verb that needs a model, and
// tells which there are.
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "host/cli/model_verbs/model_verb.hpp"

namespace {

using namespace quanthost::cli;

void add_verbs(CommandLine& line, Session& session) {
  session.add_global_options(line.root());
  for (auto* add :
       {add_convert, add_inspect, add_check, add_tokenize, add_detokenize, add_forward, add_run,
        add_ppl, add_load, add_plan, add_estimate, add_quantize, add_dequantize, add_bench})
    add(line.root(), session);
}

CommandLine command_line() { return {"quanthost", "Loads quantized models through plugins.", ""}; }

std::string description() {
  CommandLine line = command_line();
  Session session;
  add_verbs(line, session);
  quanthost::OrderedJson verbs = quanthost::OrderedJson::array();
  for (const VerbEntry& verb : line.table().verbs) verbs.push_back(to_json(verb));
  Dl_info torch{};
  ::dladdr(reinterpret_cast<void*>(&at::get_num_threads), &torch);
  return quanthost::OrderedJson{{"version", QUANTHOST_VERSION},
                                {"libtorch", TORCH_VERSION},
                                {"libtorch_file", torch.dli_fname ? torch.dli_fname : ""},
                                {"verbs", verbs}}
      .dump();
}

int run(const std::vector<std::string>& arguments, Session& session) {
  CommandLine line = command_line();
  add_verbs(line, session);
  line.after_parse([&session](ParsedOptions& parsed) { session.apply_settings(parsed); });
  watch_interrupts();
  try {
    return line.execute(arguments);
  } catch (const quanthost::Error& e) {
    // Whatever was cancelled, Ctrl-C did it.
    if (e.kind() == quanthost::ErrorKind::kCancelled && interrupted()) throw_interrupted();
    throw;
  }
}

}  // namespace

#define QH_DOOR extern "C" __attribute__((visibility("default")))

QH_DOOR int quanthost_run_verb(int argc, const char* const* argv);
int quanthost_run_verb(int argc, const char* const* argv) {
  const std::vector<std::string> arguments(argv, argv + argc);
  Session session;
  if (std::find(arguments.begin(), arguments.end(), "--json") != arguments.end())
    session.set_json();
  return session.run_reporting([&] { return run(arguments, session); });
}

QH_DOOR void quanthost_describe_verbs(void (*sink)(void*, const char*, std::uint64_t),
                                      void* context);
void quanthost_describe_verbs(void (*sink)(void*, const char*, std::uint64_t), void* context) {
  const std::string text = description();
  sink(context, text.data(), text.size());
}
