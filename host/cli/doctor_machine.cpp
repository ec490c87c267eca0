// Health of the machine: CPU, memory, limits, disks, devices.
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "host/cli/doctor_checks.hpp"
#include "host/devices/registry.hpp"

namespace quanthost::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
constexpr std::uint64_t kLeastMemory = kGiB;    // a small model with LibTorch
constexpr std::uint64_t kLeastDisk = kGiB / 4;  // caches and temporary files
constexpr rlim_t kLeastFiles = 256;             // a checkpoint of many shards, each mapped

std::string gib(std::uint64_t bytes) {
  return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / static_cast<double>(kGiB));
}

void check_cpu(std::vector<HealthCheck>& out, const DeviceInfo& cpu) {
  const bool fast = cpu.capability.find("avx2") != std::string::npos;
  const std::string found =
      fmt::format("{}, {} cores, {}", cpu.model, std::thread::hardware_concurrency(),
                  cpu.capability.empty() ? "no vector extensions known" : cpu.capability);
#if defined(__x86_64__)
  out.push_back(
      {fast ? Health::kOk : Health::kWarn, "cpu", found,
       fast ? "" : "without AVX2 the kernels are the scalar ones; use a newer CPU for speed"});
#else
  out.push_back({Health::kOk, "cpu", found, ""});
#endif
}

void check_memory(std::vector<HealthCheck>& out, const DeviceInfo& cpu) {
  const bool enough = cpu.memory_free_bytes >= kLeastMemory;
  out.push_back(
      {enough ? Health::kOk : Health::kWarn, "memory",
       fmt::format("{} free of {}", gib(cpu.memory_free_bytes), gib(cpu.memory_total_bytes)),
       enough ? "" : "close other programs, or give --max-memory and --offload-folder"});
}

void check_limits(std::vector<HealthCheck>& out) {
  rlimit files{}, space{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  ::getrlimit(RLIMIT_AS, &space);
  const bool few = files.rlim_cur < kLeastFiles;
  out.push_back({few ? Health::kWarn : Health::kOk, "open files",
                 fmt::format("{} at most", files.rlim_cur),
                 few ? fmt::format("ulimit -n {}", kLeastFiles * 4) : ""});
  if (space.rlim_cur != RLIM_INFINITY)
    out.push_back({Health::kWarn, "address space",
                   fmt::format("limited to {}", gib(space.rlim_cur)),
                   "checkpoints are mapped whole: ulimit -v unlimited"});
}

void check_threads(std::vector<HealthCheck>& out) {
  const char* text = std::getenv("OMP_NUM_THREADS");
  if (!text) return;
  const long threads = std::strtol(text, nullptr, 10);
  const bool many = threads > static_cast<long>(std::thread::hardware_concurrency());
  out.push_back({many ? Health::kWarn : Health::kOk, "threads",
                 fmt::format("OMP_NUM_THREADS={}", text),
                 many ? "more threads than cores are slow: unset OMP_NUM_THREADS" : ""});
}

// Room in the file system of the nearest directory that exists.
void check_disk(std::vector<HealthCheck>& out, const char* what, fs::path directory) {
  std::error_code error;
  while (!fs::exists(directory, error) && directory.has_relative_path())
    directory = directory.parent_path();
  struct statvfs room {};
  if (::statvfs(directory.c_str(), &room) != 0) return;
  const std::uint64_t free = std::uint64_t{room.f_bavail} * room.f_frsize;
  const bool writable = ::access(directory.c_str(), W_OK) == 0;
  const bool well = writable && free >= kLeastDisk;
  out.push_back({well ? Health::kOk : Health::kWarn, what,
                 fmt::format("{}: {}", directory.string(),
                             writable ? gib(free) + " free" : "cannot be written"),
                 well       ? ""
                 : writable ? "free space there, or name another place"
                            : fmt::format("chown or chmod u+w {}", directory.string())});
}

}  // namespace

void check_machine(std::vector<HealthCheck>& out) {
  for (const DeviceInfo& device : list_devices()) {
    if (device.kind != "cpu") continue;
    check_cpu(out, device);
    check_memory(out, device);
  }
  check_limits(out);
  check_threads(out);
}

void check_storage(std::vector<HealthCheck>& out, const SearchContext& context) {
  if (context.privileged)
    out.push_back({Health::kWarn, "privileges", "this process runs with raised privileges",
                   "the environment and the user's files are ignored: run it as a plain user"});
  const fs::path cache = user_cache_directory(context);
  if (cache.empty()) {
    out.push_back({Health::kWarn, "cache", "there is no directory for it",
                   "set HOME or XDG_CACHE_HOME; without it every plugin is read anew"});
  } else {
    check_disk(out, "cache", cache);
  }
  check_disk(out, "temporary", fs::temp_directory_path());
}

void check_devices(std::vector<HealthCheck>& out) {
  for (const DeviceInfo& device : list_devices()) {
    if (device.kind == "cpu" || device.kind == "emulated") continue;
    // A machine without an accelerator is in order; the reason stands here for who expects one.
    out.push_back({Health::kOk, device.name(),
                   device.available()
                       ? fmt::format("{}, {}, {} free", device.model, device.capability,
                                     gib(device.memory_free_bytes))
                       : fmt::format("not used: {}", device.reason),
                   ""});
  }
}

}  // namespace quanthost::cli
