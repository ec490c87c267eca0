#include "host/plugins/elf_file.hpp"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

#if defined(__x86_64__)
constexpr std::uint16_t kMachine = EM_X86_64;
#else
constexpr std::uint16_t kMachine = EM_AARCH64;
#endif

// A shared library with a PT_NOTE of two notes, of which the second is the one looked for.
std::vector<std::byte> library_with_note(const std::string& content, std::uint64_t align = 4) {
  std::string notes;
  const auto add = [&](std::uint32_t type, const std::string& owner, std::string text) {
    const std::uint32_t header[3]{static_cast<std::uint32_t>(owner.size() + 1),
                                  static_cast<std::uint32_t>(text.size()), type};
    notes.append(reinterpret_cast<const char*>(header), sizeof header);
    notes += owner + '\0';
    while (notes.size() % align != 0) notes += '\0';
    notes += text;
    while (notes.size() % align != 0) notes += '\0';
  };
  add(3, "GNU", "build-id bytes");
  add(1, "QH", content);
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, 4);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_DYN;
  header.e_machine = kMachine;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  Elf64_Phdr segment{};
  segment.p_type = PT_NOTE;
  segment.p_offset = sizeof header + sizeof segment;
  segment.p_filesz = notes.size();
  segment.p_align = align;
  std::vector<std::byte> out(segment.p_offset + notes.size());
  std::memcpy(out.data(), &header, sizeof header);
  std::memcpy(out.data() + sizeof header, &segment, sizeof segment);
  std::memcpy(out.data() + segment.p_offset, notes.data(), notes.size());
  return out;
}

std::optional<std::string> note_of(const std::vector<std::byte>& bytes) {
  const MemoryBytes source(bytes);
  return ElfFile(source).note("QH", 1, ".note.quanthost");
}

TEST(ElfFile, FindsItsNoteAmongOthersAtBothAlignments) {
  EXPECT_EQ(note_of(library_with_note("id: x")), "id: x");
  EXPECT_EQ(note_of(library_with_note("id: x", 8)), "id: x");
  EXPECT_EQ(note_of(library_with_note("")), "");
}

TEST(ElfFile, RefusesANoteBeyondItsLimit) {
  EXPECT_EQ(note_of(library_with_note(std::string(65536, 'x')))->size(), 65536u);
  EXPECT_THROW(note_of(library_with_note(std::string(65537, 'x'))), Error);
}

TEST(ElfFile, RefusesOtherClassesOrdersMachinesAndTypes) {
  const auto with = [](std::size_t at, int value) {
    auto bytes = library_with_note("x");
    bytes[at] = static_cast<std::byte>(value);
    return bytes;
  };
  EXPECT_THROW(note_of(with(EI_CLASS, ELFCLASS32)), Error);
  EXPECT_THROW(note_of(with(EI_DATA, ELFDATA2MSB)), Error);
  EXPECT_THROW(note_of(with(16, ET_EXEC)), Error);
  EXPECT_THROW(note_of(with(18, EM_386)), Error);
  EXPECT_THROW(note_of(with(0, 'M')), Error);
}

TEST(ElfFile, ReadsNothingBeyondTheEndWhereverTheFileIsCut) {
  const auto whole = library_with_note("id: something longer than a word");
  for (std::size_t size = 0; size + 1 < whole.size(); ++size) {
    const std::vector<std::byte> cut(whole.begin(),
                                     whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THROW(note_of(cut), Error) << size;
  }
}

TEST(ElfFile, SurvivesRandomDamage) {
  std::mt19937 random(99);
  const auto whole = library_with_note("id: x\nversion: 1", 8);
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    auto bytes = whole;
    for (int k = 0; k < 4; ++k) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    try {
      const MemoryBytes source(bytes);
      const ElfFile elf(source);
      elf.note("QH", 1, ".note.quanthost");
      elf.has_sane_sections();
      elf.dynamic();
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace quanthost
