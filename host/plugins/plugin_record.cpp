#include "host/plugins/plugin_record.hpp"

#include <quanthost/abi/base.h>

#include <algorithm>

#include "host/base/error.hpp"
#include "host/plugins/dynamic_library.hpp"
#include "host/plugins/elf_file.hpp"

namespace quanthost {
namespace {

constexpr const char* kNoteOwner = "QH";
constexpr std::uint32_t kManifestNote = 1;
constexpr const char* kNoteSection = ".note.quanthost";

// Boost.DLL lists the sections of files whose tables were found sound; others go by their segments
// alone.
bool may_have_manifest(const ElfFile& elf, const std::filesystem::path& path) {
  if (!elf.has_sane_sections()) return true;
  const auto names = section_names(path);
  return std::find(names.begin(), names.end(), kNoteSection) != names.end();
}

}  // namespace

std::string_view name_of(PluginState state) {
  switch (state) {
    case PluginState::kOk:
      return "ok";
    case PluginState::kUnavailable:
      return "unavailable";
    case PluginState::kIncompatible:
      return "incompatible";
    case PluginState::kUntrusted:
      return "untrusted";
    case PluginState::kQuarantined:
      return "quarantined";
    case PluginState::kShadowed:
      return "shadowed";
    case PluginState::kRejected:
      return "rejected";
  }
  return "rejected";
}

std::string abi_fault(std::int64_t major, std::int64_t minor) {
  if (major == QH_ABI_MAJOR && minor <= QH_ABI_MINOR) return {};
  return fmt::format("built for plugin ABI {}.{}; this host serves {}.0 to {}.{}", major, minor,
                     QH_ABI_MAJOR, QH_ABI_MAJOR, QH_ABI_MINOR);
}

PluginFileContent read_plugin_file(const std::filesystem::path& real_path) {
  PluginFileContent content;
  const FileBytes bytes(real_path);
  try {
    const ElfFile elf(bytes);
    std::optional<std::string> yaml;
    if (may_have_manifest(elf, real_path)) yaml = elf.note(kNoteOwner, kManifestNote, kNoteSection);
    if (!yaml)
      fail(ErrorKind::kValue, "not a quanthost plugin: it has no manifest (ELF note {})",
           kNoteSection);
    content.manifest = Manifest::parse(*yaml, "manifest");
    const auto dynamic = elf.dynamic();
    content.needed_libraries = dynamic.needed;
    content.run_path = dynamic.run_path;
  } catch (const Error& e) {
    content.manifest.reset();
    content.fault = e.message();
  }
  return content;
}

}  // namespace quanthost
