#include "host/plugins/elf_file.hpp"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

constexpr std::uint64_t kMaxTableEntries = 4096;  // segments, sections
constexpr std::uint64_t kMaxDynamicEntries = 16 * 1024;
constexpr std::uint64_t kMaxNoteSegment = 1024 * 1024;  // all notes of one segment
constexpr std::uint64_t kMaxText = 4096;

#if defined(__x86_64__)
constexpr std::uint16_t kMachine = EM_X86_64;
constexpr std::string_view kMachineName = "x86-64";
#elif defined(__aarch64__)
constexpr std::uint16_t kMachine = EM_AARCH64;
constexpr std::string_view kMachineName = "AArch64";
#elif defined(__riscv)
constexpr std::uint16_t kMachine = EM_RISCV;
constexpr std::string_view kMachineName = "RISC-V";
#elif defined(__powerpc64__)
constexpr std::uint16_t kMachine = EM_PPC64;
constexpr std::string_view kMachineName = "POWER";
#endif

std::string machine_name(std::uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_AARCH64:
      return "AArch64";
    case EM_386:
      return "x86, 32 bit";
    case EM_ARM:
      return "ARM, 32 bit";
    case EM_RISCV:
      return "RISC-V";
    case EM_PPC64:
      return "POWER";
    default:
      return fmt::format("machine {}", machine);
  }
}

template <typename T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <typename T>
T read_struct(const ByteSource& source, std::uint64_t offset) {
  std::array<std::byte, sizeof(T)> bytes;
  source.read(offset, bytes);
  return load<T>(bytes.data());
}

std::uint64_t checked_offset(std::uint64_t base, std::uint64_t index, std::uint64_t entry_size) {
  std::uint64_t distance = 0, offset = 0;
  if (__builtin_mul_overflow(index, entry_size, &distance) ||
      __builtin_add_overflow(base, distance, &offset)) {
    fail(ErrorKind::kValue, "corrupted: a table lies beyond all addresses");
  }
  return offset;
}

std::uint64_t rounded_up(std::uint64_t value, std::uint64_t align) {
  return (value + align - 1) / align * align;
}

}  // namespace

ElfFile::ElfFile(const ByteSource& source) : source_(source) {
  if (source.size() < 4) fail(ErrorKind::kValue, "not an ELF file: {} bytes", source.size());
  const auto magic = read_struct<std::array<char, 4>>(source, 0);
  if (std::memcmp(magic.data(), ELFMAG, 4) != 0)
    fail(ErrorKind::kValue, "not an ELF file: it does not start with 7f 'ELF'");
  if (source.size() < sizeof(Elf64_Ehdr)) {
    fail(ErrorKind::kValue, "truncated: {} bytes are less than an ELF header", source.size());
  }
  const auto header = read_struct<Elf64_Ehdr>(source, 0);
  if (header.e_ident[EI_CLASS] != ELFCLASS64) fail(ErrorKind::kValue, "not a 64-bit ELF file");
  if (header.e_ident[EI_DATA] != ELFDATA2LSB)
    fail(ErrorKind::kValue, "not a little-endian ELF file");
  if (header.e_machine != kMachine) {
    fail(ErrorKind::kValue, "built for {}, this machine is {}", machine_name(header.e_machine),
         kMachineName);
  }
  if (header.e_type != ET_DYN)
    fail(ErrorKind::kValue, "not a shared library (ELF type {}, needed {})", header.e_type, ET_DYN);
  read_segments(header.e_phoff, header.e_phentsize, header.e_phnum);
  if (header.e_shoff != 0)
    read_sections(header.e_shoff, header.e_shentsize, header.e_shnum, header.e_shstrndx);
}

void ElfFile::read_segments(std::uint64_t offset, std::uint16_t entry_size, std::uint16_t count) {
  if (count == 0) fail(ErrorKind::kValue, "corrupted: no program headers");
  if (entry_size != sizeof(Elf64_Phdr)) {
    fail(ErrorKind::kValue, "corrupted: program headers of {} bytes, needed {}", entry_size,
         sizeof(Elf64_Phdr));
  }
  if (count > kMaxTableEntries) fail(ErrorKind::kValue, "corrupted: {} program headers", count);
  std::vector<std::byte> table(std::size_t{count} * entry_size);
  source_.read(offset, table);
  for (std::size_t i = 0; i < count; ++i) {
    const auto entry = load<Elf64_Phdr>(table.data() + i * entry_size);
    segments_.push_back({entry.p_type, entry.p_flags, entry.p_offset, entry.p_vaddr, entry.p_paddr,
                         entry.p_filesz, entry.p_memsz, entry.p_align});
  }
}

void ElfFile::read_sections(std::uint64_t offset, std::uint16_t entry_size, std::uint16_t count,
                            std::uint16_t names) {
  if (count == 0) return;
  if (entry_size != sizeof(Elf64_Shdr)) {
    fail(ErrorKind::kValue, "corrupted: section headers of {} bytes, needed {}", entry_size,
         sizeof(Elf64_Shdr));
  }
  if (count > kMaxTableEntries) fail(ErrorKind::kValue, "corrupted: {} sections", count);
  std::vector<std::byte> table(std::size_t{count} * entry_size);
  source_.read(offset, table);
  for (std::size_t i = 0; i < count; ++i) {
    const auto entry = load<Elf64_Shdr>(table.data() + i * entry_size);
    sections_.push_back({entry.sh_name, entry.sh_type, entry.sh_flags, entry.sh_addr,
                         entry.sh_offset, entry.sh_size, entry.sh_link, entry.sh_info,
                         entry.sh_addralign, entry.sh_entsize});
  }
  section_names_ = names;
}

bool ElfFile::has_sane_sections() const {
  const auto inside = [&](const Section& s) {
    return s.type == SHT_NOBITS ||
           (s.offset <= source_.size() && s.size <= source_.size() - s.offset);
  };
  if (section_names_ >= sections_.size()) return false;
  const Section& names = sections_[section_names_];
  if (names.type != SHT_STRTAB || names.size == 0 || names.size > 1024 * 1024) return false;
  if (!std::all_of(sections_.begin(), sections_.end(), inside)) return false;
  // Boost.DLL reads names up to a NUL byte, past the end of a table that has none there.
  return read_struct<char>(source_, names.offset + names.size - 1) == '\0';
}

std::string ElfFile::text_at(std::uint64_t table, std::uint64_t table_size,
                             std::uint64_t index) const {
  if (index >= table_size)
    fail(ErrorKind::kValue, "corrupted: a name lies outside of its string table");
  std::string text(std::min(table_size - index, kMaxText), '\0');
  text.resize(std::min<std::uint64_t>(text.size(),
                                      source_.size() - std::min(source_.size(), table + index)));
  source_.read(checked_offset(table, index, 1), std::as_writable_bytes(std::span(text)));
  const auto end = text.find('\0');
  if (end == text.npos)
    fail(ErrorKind::kValue, "corrupted: a name of more than {} bytes", text.size());
  text.resize(end);
  return text;
}

std::string ElfFile::section_name(const Section& section) const {
  if (section_names_ >= sections_.size()) fail(ErrorKind::kValue, "corrupted: no section names");
  const Section& names = sections_[section_names_];
  return text_at(names.offset, names.size, section.name);
}

std::optional<std::string> ElfFile::find_note(std::uint64_t offset, std::uint64_t size,
                                              std::uint64_t align, std::string_view owner,
                                              std::uint32_t type) const {
  if (size > kMaxNoteSegment) fail(ErrorKind::kValue, "corrupted: {} bytes of notes", size);
  // gABI says 8 for 64-bit files, tools write 4; some PT_NOTE of glibc have 8.
  align = align == 8 ? 8 : 4;
  std::uint64_t at = 0;
  while (size - at >= sizeof(Elf64_Nhdr)) {
    const auto header = read_struct<Elf64_Nhdr>(source_, checked_offset(offset, at, 1));
    const std::uint64_t name_at = at + sizeof(Elf64_Nhdr);
    const std::uint64_t text_at = name_at + rounded_up(header.n_namesz, align == 8 ? 4 : align);
    const std::uint64_t content_at = align == 8 ? rounded_up(text_at, 8) : text_at;
    const std::uint64_t next = content_at + rounded_up(header.n_descsz, align);
    // All of these are sums of 32-bit sizes: no overflow in 64 bits.
    if (content_at > size || header.n_descsz > size - content_at) {
      fail(ErrorKind::kValue, "corrupted: a note of {} bytes in {} bytes of notes", header.n_descsz,
           size);
    }
    if (header.n_type == type && header.n_namesz == owner.size() + 1) {
      std::string name(owner.size(), '\0');
      source_.read(checked_offset(offset, name_at, 1), std::as_writable_bytes(std::span(name)));
      if (name == owner) {
        if (header.n_descsz > kMaxNoteBytes) {
          fail(ErrorKind::kValue, "the manifest has {} bytes, at most {} are allowed",
               header.n_descsz, kMaxNoteBytes);
        }
        std::string content(header.n_descsz, '\0');
        source_.read(checked_offset(offset, content_at, 1),
                     std::as_writable_bytes(std::span(content)));
        return content;
      }
    }
    if (next >= size) break;
    at = next;
  }
  return std::nullopt;
}

std::optional<std::string> ElfFile::note(std::string_view owner, std::uint32_t type,
                                         std::string_view section) const {
  for (const Segment& segment : segments_) {
    if (segment.type != PT_NOTE) continue;
    if (auto found = find_note(segment.offset, segment.file_size, segment.align, owner, type))
      return found;
  }
  for (const Section& candidate : sections_) {
    if (candidate.type != SHT_NOTE || section_name(candidate) != section) continue;
    if (auto found = find_note(candidate.offset, candidate.size, candidate.align, owner, type))
      return found;
  }
  return std::nullopt;
}

std::uint64_t ElfFile::file_offset(std::uint64_t address) const {
  for (const Segment& segment : segments_) {
    if (segment.type == PT_LOAD && address >= segment.address &&
        address - segment.address < segment.file_size) {
      return checked_offset(segment.offset, address - segment.address, 1);
    }
  }
  fail(ErrorKind::kValue, "corrupted: address {:#x} is in no segment", address);
}

ElfFile::Dynamic ElfFile::dynamic() const {
  Dynamic out;
  const auto segment = std::find_if(segments_.begin(), segments_.end(),
                                    [](const Segment& s) { return s.type == PT_DYNAMIC; });
  if (segment == segments_.end()) return out;
  const std::uint64_t count = segment->file_size / sizeof(Elf64_Dyn);
  if (count > kMaxDynamicEntries) fail(ErrorKind::kValue, "corrupted: {} dynamic entries", count);
  std::vector<std::byte> table(count * sizeof(Elf64_Dyn));
  source_.read(segment->offset, table);

  std::vector<std::uint64_t> needed;
  std::uint64_t names_address = 0, names_size = 0;
  std::optional<std::uint64_t> soname, run_path, old_run_path;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto entry = load<Elf64_Dyn>(table.data() + i * sizeof(Elf64_Dyn));
    if (entry.d_tag == DT_NULL) break;
    switch (entry.d_tag) {
      case DT_NEEDED:
        needed.push_back(entry.d_un.d_val);
        break;
      case DT_STRTAB:
        names_address = entry.d_un.d_ptr;
        break;
      case DT_STRSZ:
        names_size = entry.d_un.d_val;
        break;
      case DT_SONAME:
        soname = entry.d_un.d_val;
        break;
      case DT_RUNPATH:
        run_path = entry.d_un.d_val;
        break;
      case DT_RPATH:
        old_run_path = entry.d_un.d_val;
        break;
      default:
        break;
    }
  }
  if (needed.empty() && !soname) return out;
  const std::uint64_t names = file_offset(names_address);
  for (std::uint64_t index : needed) out.needed.push_back(text_at(names, names_size, index));
  if (soname) out.soname = text_at(names, names_size, *soname);
  if (!run_path) run_path = old_run_path;
  if (run_path) {
    const std::string joined = text_at(names, names_size, *run_path);
    for (std::size_t begin = 0; begin <= joined.size();) {
      const std::size_t end = std::min(joined.find(':', begin), joined.size());
      if (end > begin) out.run_path.push_back(joined.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return out;
}

}  // namespace quanthost
