// A bounds-checked reader of 64-bit little-endian ELF shared libraries. Trusts nothing it reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/plugins/file_bytes.hpp"

namespace quanthost {

class ElfFile {
 public:
  static constexpr std::uint64_t kMaxNoteBytes = 64 * 1024;

  // Checks the header: ELF, 64 bit, little endian, a shared object, for this machine. Throws kValue
  // saying which not. `source` is borrowed for the life of this object.
  explicit ElfFile(const ByteSource& source);

  // The content of the first note with this owner and type, looked for in PT_NOTE segments and then
  // in sections of the given name. nullopt when there is none; throws kValue when the tables are
  // corrupted or the note passes 64 KiB.
  std::optional<std::string> note(std::string_view owner, std::uint32_t type,
                                  std::string_view section) const;

  // Section headers all lie in the file and no section claims bytes outside of it: other readers
  // may then open it.
  bool has_sane_sections() const;

  struct Dynamic {
    std::string soname;
    std::vector<std::string> needed;    // DT_NEEDED, in file order
    std::vector<std::string> run_path;  // DT_RUNPATH, else DT_RPATH; entries as written
  };
  Dynamic dynamic() const;  // throws kValue when corrupted

 private:
  struct Segment {
    std::uint32_t type = 0, flags = 0;
    std::uint64_t offset = 0, address = 0, physical = 0, file_size = 0, memory_size = 0, align = 0;
  };
  struct Section {
    std::uint32_t name = 0, type = 0;
    std::uint64_t flags = 0, address = 0, offset = 0, size = 0;
    std::uint32_t link = 0, info = 0;
    std::uint64_t align = 0, entry_size = 0;
  };

  void read_segments(std::uint64_t offset, std::uint16_t entry_size, std::uint16_t count);
  void read_sections(std::uint64_t offset, std::uint16_t entry_size, std::uint16_t count,
                     std::uint16_t names);
  std::optional<std::string> find_note(std::uint64_t offset, std::uint64_t size,
                                       std::uint64_t align, std::string_view owner,
                                       std::uint32_t type) const;
  std::string section_name(const Section& section) const;
  std::uint64_t file_offset(std::uint64_t address) const;
  std::string text_at(std::uint64_t table, std::uint64_t table_size, std::uint64_t index) const;

  const ByteSource& source_;
  std::vector<Segment> segments_;
  std::vector<Section> sections_;  // empty when the file has none
  std::uint16_t section_names_ = 0;
};

}  // namespace quanthost
