// What the file itself promises: its symbols, what it needs, and how quietly it opens.
#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <fmt/format.h>
#include <link.h>

#include <chrono>
#include <fstream>
#include <iterator>

#include "host/conformance/opened_plugin.hpp"
#include "host/plugins/elf_file.hpp"

namespace quanthost::conformance {
namespace {

std::vector<std::string> entries_of(const char* directory) {
  std::vector<std::string> names;
  DIR* dir = opendir(directory);
  require(dir != nullptr, "{} cannot be read", directory);
  while (const dirent* entry = readdir(dir))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  closedir(dir);
  return names;
}

// Exported names, from the loaded library's own tables: what another library could really bind to.
std::vector<std::string> exported_symbols(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(bytes.data());
  std::vector<std::string> names;
  for (int i = 0; i < header->e_shnum; ++i) {
    const auto* section = reinterpret_cast<const Elf64_Shdr*>(bytes.data() + header->e_shoff) + i;
    if (section->sh_type != SHT_DYNSYM) continue;
    const auto* strings =
        reinterpret_cast<const Elf64_Shdr*>(bytes.data() + header->e_shoff) + section->sh_link;
    const auto* symbols = reinterpret_cast<const Elf64_Sym*>(bytes.data() + section->sh_offset);
    for (std::size_t s = 1; s < section->sh_size / sizeof(Elf64_Sym); ++s)
      if (symbols[s].st_shndx != SHN_UNDEF && ELF64_ST_BIND(symbols[s].st_info) != STB_LOCAL)
        names.emplace_back(bytes.data() + strings->sh_offset + symbols[s].st_name);
  }
  return names;
}

void exports_one_symbol(const Subject& subject) {
  const std::vector<std::string> names = exported_symbols(subject.path);
  require(names.size() == 1 && names[0] == QH_ENTRY_SYMBOL, "it exports {} symbols: {}",
          names.size(),
          fmt::join(names.begin(), names.begin() + std::min<std::ptrdiff_t>(8, std::ssize(names)),
                    ", "));
}

void needs_nothing_of_the_host(const Subject& subject) {
  const FileBytes file(subject.path);
  for (const std::string& needed : ElfFile(file).dynamic().needed)
    for (const char* forbidden : {"quanthost", "torch", "c10", "libcuda.so"})
      require(needed.find(forbidden) == std::string::npos, "it needs {} at load time", needed);
}

void opens_quietly(const Subject& subject) {
  const std::size_t threads = entries_of("/proc/self/task").size();
  const std::size_t files = entries_of("/proc/self/fd").size();
  const auto start = std::chrono::steady_clock::now();
  MockHost host;
  {
    OpenedPlugin plugin(host, subject);
    qh_pair_sink sink{nullptr, [](void*, qh_str, qh_str) -> qh_status { return QH_OK; }};
    require_ok(host, plugin.api().describe(plugin.handle(), sink), "describe()");
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    require(ms < 1000, "opening, entry and describe() took {:.0f} ms; nothing heavy belongs there",
            ms);
    require(entries_of("/proc/self/task").size() == threads, "it started a thread");
  }
  require(entries_of("/proc/self/fd").size() == files, "it left a file descriptor open");
}

}  // namespace

const std::vector<Case> kLibraryCases = {
    {"library.exports-one-symbol", "The library exports its entry point and nothing else",
     "QH-P-01", exports_one_symbol},
    {"library.needs-nothing-of-the-host",
     "The library needs neither quanthost nor LibTorch nor a driver to be opened", "QH-P-02",
     needs_nothing_of_the_host},
    {"library.opens-quietly",
     "Opening, entry and describe() are quick and leave no thread or file behind", "QH-P-03",
     opens_quietly},
};

}  // namespace quanthost::conformance
