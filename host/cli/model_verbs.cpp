#include <filesystem>

#include "host/base/nearest_name.hpp"
#include "host/cli/verbs.hpp"
#include "host/plugins/dynamic_library.hpp"

namespace quanthost::cli {
namespace {

namespace fs = std::filesystem;

// int quanthost_run_verb(int argc, const char* const* argv): argv[0] is the verb. Returns the exit
// code, or kUnknownVerb. An internal door between this program and the library of the same build,
// not part of the C API.
using RunVerb = int (*)(int, const char* const*);
constexpr const char* kRunVerb = "quanthost_run_verb";
constexpr int kUnknownVerb = -1;

// Known by name so that the message is right when the library is missing.
const std::vector<std::string> kModelVerbs{"load",    "plan",  "estimate", "quantize", "dequantize",
                                           "run",     "ppl",   "forward",  "tokenize", "detokenize",
                                           "inspect", "check", "convert"};

fs::path find_library() {
  const fs::path here = SearchContext::of_this_process().library_directory;
  for (const fs::path& candidate : {here / "../lib/libquanthost.so", here / "libquanthost.so",
                                    fs::path(QUANTHOST_LIBRARY_DIR) / "libquanthost.so"}) {
    std::error_code error;
    const fs::path path = fs::canonical(candidate, error);
    if (!error) return path;
  }
  return {};
}

[[noreturn]] void fail_unknown(const std::string& verb, std::vector<std::string> known) {
  known.insert(known.end(), kModelVerbs.begin(), kModelVerbs.end());
  const auto nearest = nearest_name(verb, known);
  throw CommandError(
      ExitCode::kUsage, ErrorKind::kValue, fmt::format("'{}' is not a verb of quanthost", verb),
      nearest ? fmt::format("did you mean '{}'?", *nearest) : "see 'quanthost --help'");
}

}  // namespace

int run_model_verb(const std::vector<std::string>& arguments,
                   const std::vector<std::string>& known_verbs) {
  const std::string& verb = arguments.front();
  const fs::path path = find_library();
  if (path.empty()) {
    if (std::find(kModelVerbs.begin(), kModelVerbs.end(), verb) == kModelVerbs.end())
      fail_unknown(verb, known_verbs);
    throw CommandError(
        ExitCode::kIo, ErrorKind::kOs,
        fmt::format("'{}' needs libquanthost.so, which is not installed beside this program", verb),
        "install it, or build with -DQUANTHOST_TORCH=ON");
  }
  DynamicLibrary library(path);
  const auto run = reinterpret_cast<RunVerb>(library.symbol(kRunVerb));
  if (!run)
    fail(ErrorKind::kRuntime, "{} is of another build: it has no {}", path.string(), kRunVerb);
  library.keep_for_ever();
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  const int code = run(static_cast<int>(argv.size()), argv.data());
  if (code == kUnknownVerb) fail_unknown(verb, known_verbs);
  return code;
}

}  // namespace quanthost::cli
