// plugins_bench PLUGIN.so: manifest read, resolver, warm listing of 100 plugins, cold probe, and
// one call through a completed table beside a plain call. Works on copies of the given plugin in a
// directory of its own.
#include <benchmark/benchmark.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "host/plugins/isolated_probe.hpp"
#include "host/plugins/plugin_record.hpp"
#include "host/plugins/resolver.hpp"
#include "host/plugins/table_defaults.hpp"

extern char** environ;

namespace {

namespace fs = std::filesystem;
using namespace quanthost;

fs::path plugin_file;
fs::path work_directory;

void read_manifest(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(read_plugin_file(plugin_file));
}
BENCHMARK(read_manifest)->Unit(benchmark::kMicrosecond);

void resolve_200_manifests(benchmark::State& state) {
  std::mt19937 random(7);
  std::vector<ResolverPlugin> plugins;
  for (int i = 0; i < 200; ++i) {
    ResolverPlugin plugin;
    plugin.id = fmt::format("org.example.p{:03}", i);
    plugin.version = Version::parse("1.0");
    const std::string name = fmt::format("pkg{}", i % 50),
                      version = fmt::format("{}.{}", 1 + random() % 3, random() % 9);
    plugin.packages.push_back({name, name, Version::parse(version), "cpu", "", 0});
    // Packages need only those with a higher number, so there is a plan.
    for (int k = i % 50 + 1; k < 50 && k < i % 50 + 4; ++k) {
      plugin.requirements.push_back(Requirement::parse(fmt::format("pkg{}>=1,!=2.5", k)));
    }
    plugins.push_back(std::move(plugin));
  }
  ResolverGoal goal{"org.example.p000",
                    "m",
                    {Requirement::parse("pkg1"), Requirement::parse("pkg7>=1.0")},
                    {"cpu"}};
  std::size_t packages = 0;
  for (auto _ : state) {
    const Resolution resolution = resolve(plugins, {goal});
    if (!resolution.ok) return state.SkipWithError("no plan");
    packages = resolution.packages.size();
  }
  state.counters["packages"] = static_cast<double>(packages);
}
BENCHMARK(resolve_200_manifests)->Unit(benchmark::kMillisecond);

void run_command(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1, 0);
  pid_t pid = 0;
  if (::posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ) != 0) std::abort();
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (status != 0) std::abort();
}

// Copies with ids of their own: the last characters of the id in the manifest are replaced.
void make_copies(const fs::path& directory, int count) {
  std::ifstream file(plugin_file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const std::string id = read_plugin_file(plugin_file).manifest->id;
  fs::create_directories(directory);
  for (int i = 0; i < count; ++i) {
    std::string copy = bytes, other = id;
    other.replace(other.size() - 3, 3, fmt::format("{:03}", i));
    for (auto at = copy.find(id); at != copy.npos; at = copy.find(id, at + 1))
      copy.replace(at, id.size(), other);
    std::ofstream(directory / fmt::format("p{:03}.so", i), std::ios::binary) << copy;
  }
}

void list_100_plugins_warm(benchmark::State& state) {
  make_copies(work_directory / "hundred", 100);
  const std::vector<std::string> command{
      QH_BUILD_DIR "/bin/quanthost",        "plugins", "list", "--json", "--plugin-path",
      (work_directory / "hundred").string()};
  run_command(command);  // fills the cache
  for (auto _ : state) run_command(command);
}
BENCHMARK(list_100_plugins_warm)->Unit(benchmark::kMillisecond)->UseRealTime();

void probe_cold(benchmark::State& state) {
  const auto helper = find_probe_helper(SearchContext::of_this_process());
  if (!helper) return state.SkipWithError("quanthost-probe was not found");
  for (auto _ : state) {
    const auto results = probe_in_isolation(*helper, {plugin_file}, std::chrono::seconds(10));
    if (!results[0].ok) return state.SkipWithError(results[0].reason.c_str());
  }
}
BENCHMARK(probe_cold)->Unit(benchmark::kMillisecond)->UseRealTime();

qh_status fact(qh_quantizer*, int32_t* out) {
  *out = 1;
  return QH_OK;
}

void call_plain(benchmark::State& state) {
  auto call = &fact;
  benchmark::DoNotOptimize(call);
  int32_t value = 0;
  for (auto _ : state) benchmark::DoNotOptimize(call(nullptr, &value));
}
BENCHMARK(call_plain);

void call_through_completed_table(benchmark::State& state) {
  qh_quantizer_api theirs{};
  theirs.struct_size = sizeof theirs;
  theirs.create = [](qh_plugin*, const qh_create_args*, qh_quantizer**) -> qh_status {
    return QH_OK;
  };
  theirs.destroy = [](qh_quantizer*) {};
  theirs.is_trainable = fact;
  qh_quantizer_api table = complete(&theirs, "bench");
  benchmark::DoNotOptimize(table);
  int32_t value = 0;
  for (auto _ : state) benchmark::DoNotOptimize(table.is_trainable(nullptr, &value));
}
BENCHMARK(call_through_completed_table);

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 2) {
    std::fprintf(stderr, "usage: plugins_bench [--benchmark_…] PLUGIN.so\n");
    return 2;
  }
  plugin_file = fs::canonical(argv[1]);
  std::string name = (fs::temp_directory_path() / "quanthost-bench-XXXXXX").string();
  if (!::mkdtemp(name.data())) return 1;
  work_directory = name;
  ::setenv("XDG_CACHE_HOME", (work_directory / "cache").c_str(), 1);
  ::setenv("QUANTHOST_PLUGIN_SYSTEM_PATH", "/nonexistent", 1);
  benchmark::RunSpecifiedBenchmarks();
  fs::remove_all(work_directory);
  return 0;
}
