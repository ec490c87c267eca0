// `quanthost env`: what a bug report needs, ready to paste. No secrets: of the environment only
// variables that this program and LibTorch read, the home directory as ~, no user and no host name.
#include <gnu/libc-version.h>
#include <quanthost/abi/base.h>
#include <sys/utsname.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "host/cli/model_library.hpp"
#include "host/cli/verbs.hpp"
#include "host/devices/registry.hpp"

namespace quanthost::cli {
namespace {

using Facts = std::vector<std::pair<std::string, std::string>>;

std::string shortened(std::string text) {
  const char* home = std::getenv("HOME");
  const std::string_view prefix = home ? home : "";
  if (prefix.size() < 2) return text;
  for (std::size_t at = 0; (at = text.find(prefix, at)) != text.npos; ++at) {
    const std::size_t end = at + prefix.size();
    if (end == text.size() || text[end] == '/' || text[end] == ':')
      text.replace(at, prefix.size(), "~");
  }
  return text;
}

std::string system_name() {
  std::ifstream file("/etc/os-release");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("PRETTY_NAME=")) continue;
    line = line.substr(12);
    if (line.size() > 1 && line.front() == '"') line = line.substr(1, line.size() - 2);
    return line;
  }
  return "Linux";
}

Facts machine_facts() {
  utsname kernel{};
  ::uname(&kernel);
  Facts facts{{"quanthost", QUANTHOST_VERSION},
              {"plugin ABI", fmt::format("{}.{}", QH_ABI_MAJOR, QH_ABI_MINOR)},
              {"compiler", __VERSION__},
              {"system", fmt::format("{}, Linux {} {}, glibc {}", system_name(), kernel.release,
                                     kernel.machine, ::gnu_get_libc_version())},
              {"cores", std::to_string(std::thread::hardware_concurrency())}};
  for (const DeviceInfo& device : list_devices()) {
    facts.emplace_back(device.name(),
                       device.available()
                           ? fmt::format("{}, {}, {} MiB", device.model, device.capability,
                                         device.memory_total_bytes >> 20)
                           : "unavailable: " + device.reason);
  }
  return facts;
}

void add_library_facts(Facts& facts) {
  try {
    const ModelLibraryInfo info = describe_model_library();
    facts.emplace_back("libquanthost", fmt::format("{} ({})", info.version, info.file.string()));
    facts.emplace_back("LibTorch", fmt::format("{} ({})", info.libtorch, info.libtorch_file));
  } catch (const Error& e) {
    facts.emplace_back("libquanthost", "unavailable: " + e.message());
  }
}

Facts variables() {
  // The variables that change what the host or LibTorch do. Never the whole environment.
  std::vector<std::string> names{"QUANTHOST_PLUGIN_SYSTEM_PATH",
                                 "QUANTHOST_CONFIG",
                                 "QUANTHOST_LOG",
                                 "LD_LIBRARY_PATH",
                                 "LD_PRELOAD",
                                 "OMP_NUM_THREADS",
                                 "OMP_WAIT_POLICY",
                                 "GOMP_SPINCOUNT",
                                 "MKL_NUM_THREADS",
                                 "CUDA_VISIBLE_DEVICES",
                                 "HIP_VISIBLE_DEVICES",
                                 "NO_COLOR"};
  for (const SettingSpec& spec : setting_specs()) names.emplace_back(spec.variable);
  Facts facts;
  for (const std::string& name : names)
    if (const char* value = std::getenv(name.c_str())) facts.emplace_back(name, value);
  return facts;
}

Facts plugin_facts(Session& session) {
  Facts facts;
  for (const PluginRecord& plugin : session.plugins().discovery().plugins) {
    const std::string version =
        plugin.content.manifest ? plugin.content.manifest->version.text() : "-";
    facts.emplace_back(plugin.label(),
                       fmt::format("{} {}{}", version, name_of(plugin.state),
                                   plugin.reason.empty() ? "" : ": " + plugin.reason));
  }
  return facts;
}

int env(Session& session) {
  Facts machine = machine_facts();
  add_library_facts(machine);
  machine.emplace_back("settings",
                       session.settings_fault().empty() ? "ok" : session.settings_fault());
  const std::array<std::pair<const char*, Facts>, 3> sections{
      {{"host", machine}, {"plugins", plugin_facts(session)}, {"environment", variables()}}};
  if (session.json()) {
    OrderedJson document;
    for (const auto& [name, facts] : sections) {
      document[name] = OrderedJson::object();
      for (const auto& [key, value] : facts) document[name][key] = shortened(value);
    }
    session.print_json("env", document);
    return 0;
  }
  session.print("Paste this into a report:\n");
  for (const auto& [name, facts] : sections) {
    session.print(fmt::format("{}:", name));
    for (const auto& [key, value] : facts)
      session.print(fmt::format("- {}: {}", key, shortened(value)));
    if (facts.empty()) session.print("- none");
  }
  return 0;
}

}  // namespace

void add_env(Verb parent, Session& session) {
  parent
      .verb("env", "What a bug report needs, ready to paste; no secrets",
            "  quanthost env\n  quanthost env --json")
      .group("This machine")
      .run([&session] { return env(session); });
}

}  // namespace quanthost::cli
