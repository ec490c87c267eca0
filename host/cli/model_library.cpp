#include "host/cli/model_library.hpp"

#include <cstdlib>

#include "host/cli/exit_code.hpp"
#include "host/plugins/dynamic_library.hpp"
#include "host/plugins/search_path.hpp"

namespace quanthost::cli {
namespace {

namespace fs = std::filesystem;

// Doors between this program and the library of the same build, not part of the C API.
// int quanthost_run_verb(int argc, const char* const* argv): argv[0] is the verb; the exit code.
using RunVerb = int (*)(int, const char* const*);
constexpr const char* kRunVerb = "quanthost_run_verb";
// Gives `sink` one JSON document: versions, and the table of each verb.
using Sink = void (*)(void* context, const char* text, std::uint64_t bytes);
using Describe = void (*)(Sink, void* context);
constexpr const char* kDescribe = "quanthost_describe_verbs";

// LibTorch named by the environment is opened first; the loader then takes it for the one that the
// library needs. Otherwise the loader looks beside the library and where it looks anyway.
void open_named_libtorch() {
  const SearchContext context = SearchContext::of_this_process();
  const auto folder = context.environment("QUANTHOST_LIBTORCH");
  if (!folder || context.privileged) return;
  for (const char* name : {"libc10.so", "libtorch_cpu.so"}) {
    try {
      DynamicLibrary(fs::absolute(*folder) / "lib" / name).keep_for_ever();
    } catch (const Error& e) {
      throw CommandError(
          ExitCode::kIo, ErrorKind::kOs,
          fmt::format("QUANTHOST_LIBTORCH={}: lib/{}: {}", *folder, name, e.message()),
          "name the folder of a LibTorch, the one that holds lib/");
    }
  }
}

// LibTorch's threads wait for each other hundreds of times a token. By default they spin, for tens
// of milliseconds if need be, which holds the very core that the awaited thread needs when anything
// else runs on the machine. 1000 rounds last a few microseconds, which most waits of a decode step
// are shorter than; then the thread sleeps. OpenMP reads its environment when LibTorch is opened,
// so this comes first; what the user has set stays.
void let_waiting_threads_sleep_soon() {
  for (const char* name : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"})
    if (std::getenv(name)) return;
  ::setenv("GOMP_SPINCOUNT", "1000", 0);
}

DynamicLibrary open_library(const fs::path& path) {
  let_waiting_threads_sleep_soon();
  open_named_libtorch();
  try {
    return DynamicLibrary(path);
  } catch (const Error& e) {
    const fs::path beside = path.parent_path() / "quanthost/libtorch";
    if (e.message().find("libtorch") == std::string::npos &&
        e.message().find("libc10") == std::string::npos)
      throw e.within(path.string());
    throw CommandError(ExitCode::kIo, ErrorKind::kOs,
                       fmt::format("{} needs LibTorch: {}", path.string(), e.message()),
                       fmt::format("set QUANTHOST_LIBTORCH to its folder (of the Python package: "
                                   ".../site-packages/torch), or make {} a link to it",
                                   beside.string()));
  }
}

template <typename Function>
Function door(const fs::path& path, const char* name) {
  DynamicLibrary library = open_library(path);
  const auto function = reinterpret_cast<Function>(library.symbol(name));
  if (!function)
    throw CommandError(ExitCode::kIo, ErrorKind::kRuntime,
                       fmt::format("{} is of another build: it has no {}", path.string(), name),
                       "install quanthost's components `cli` and `host` from the same release");
  library.keep_for_ever();
  return function;
}

fs::path need_library(const std::string& who) {
  fs::path path = find_model_library();
  if (path.empty())
    throw CommandError(
        ExitCode::kIo, ErrorKind::kOs,
        fmt::format("{} needs libquanthost.so, which is not installed beside this program", who),
        "install quanthost's component `host`, or build with -DQUANTHOST_TORCH=ON");
  return path;
}

}  // namespace

fs::path find_model_library() {
  const fs::path here = SearchContext::of_this_process().library_directory;
  for (const fs::path& candidate : {here / "../lib/libquanthost.so", here / "libquanthost.so",
                                    fs::path(QUANTHOST_LIBRARY_DIR) / "libquanthost.so"}) {
    std::error_code error;
    fs::path path = fs::canonical(candidate, error);
    if (!error) return path;
  }
  return {};
}

int run_model_verb(const std::vector<std::string>& arguments) {
  const fs::path path = need_library(fmt::format("'{}'", arguments.front()));
  const auto run = door<RunVerb>(path, kRunVerb);
  std::vector<const char*> argv;
  argv.reserve(arguments.size());
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  return run(static_cast<int>(argv.size()), argv.data());
}

ModelLibraryInfo describe_model_library() {
  ModelLibraryInfo info;
  info.file = need_library("this");
  std::string text;
  door<Describe>(info.file, kDescribe)(
      [](void* context, const char* bytes, std::uint64_t size) {
        static_cast<std::string*>(context)->append(bytes, size);
      },
      &text);
  const OrderedJson document = OrderedJson::parse(text);
  info.version = document.at("version");
  info.libtorch = document.at("libtorch");
  info.libtorch_file = document.at("libtorch_file");
  for (const OrderedJson& verb : document.at("verbs")) info.verbs.push_back(verb_from_json(verb));
  return info;
}

}  // namespace quanthost::cli
