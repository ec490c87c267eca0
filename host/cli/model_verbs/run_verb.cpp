// The door between the quanthost program and libquanthost.so: runs one verb that needs a model.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "host/cli/model_verbs/model_verb.hpp"

namespace {

using namespace quanthost::cli;
constexpr int kUnknownVerb = -1;

int run(const std::vector<std::string>& arguments, Session& session) {
  CommandLine line("quanthost", "Loads quantized models through plugins.", "");
  session.add_global_options(line.root());
  for (auto* add :
       {add_convert, add_inspect, add_check, add_tokenize, add_detokenize, add_forward, add_run,
        add_ppl, add_load, add_plan, add_estimate, add_quantize, add_dequantize})
    add(line.root(), session);
  const std::vector<std::string> known = line.verb_names();
  if (std::find(known.begin(), known.end(), arguments.front()) == known.end()) return kUnknownVerb;
  watch_interrupts();
  return line.execute(arguments);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int quanthost_run_verb(int argc,
                                                                         const char* const* argv);
int quanthost_run_verb(int argc, const char* const* argv) {
  const std::vector<std::string> arguments(argv, argv + argc);
  Session session;
  if (std::find(arguments.begin(), arguments.end(), "--json") != arguments.end())
    session.set_json();
  try {
    const int code = run(arguments, session);
    return std::fflush(stdout) == 0 ? code : static_cast<int>(ExitCode::kIo);
  } catch (const quanthost::Error& error) {
    return session.report(error);
  } catch (const std::exception& error) {
    return session.report(quanthost::Error(quanthost::ErrorKind::kInternal, error.what()));
  }
}
