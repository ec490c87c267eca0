// One open file or mapping, closed with the object; every failure is an Error that names the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace quanthost {

// Throws Error(kOs): "PATH: cannot WHAT: <reason of errno>", with a hint where the reason has a
// common cause.
[[noreturn]] void fail_errno(const std::filesystem::path& path, std::string_view what, int error);

// A regular file. Reading and writing at offsets may be done by several threads at once.
class File {
 public:
  // Refuses anything but a regular file, and never blocks on a pipe that somebody put in its place.
  static File open_for_reading(const std::filesystem::path& path);
  // Truncates what was there.
  static File create(const std::filesystem::path& path);

  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  const std::filesystem::path& path() const noexcept { return path_; }
  int descriptor() const noexcept { return descriptor_; }
  std::uint64_t size() const noexcept { return size_; }  // when it was opened; 0 for a created file

  // Fills all of `out`, or throws: a file that ends early is an error.
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;
  void write_at(std::uint64_t offset, std::span<const std::byte> data) const;
  // Takes the space now, so that a full disk is known before hours of work. A file system that
  // cannot is no error.
  void reserve(std::uint64_t bytes) const;
  void sync() const;
  // Closes and reports what close(2) reports; the destructor cannot.
  void close();

 private:
  File(std::filesystem::path path, int descriptor, std::uint64_t size)
      : path_(std::move(path)), descriptor_(descriptor), size_(size) {}

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

// A whole file, mapped read-only and private. The bytes stay valid when the file is renamed or
// unlinked; a file that another process truncates while it is mapped raises SIGBUS on access, as
// with every mapping.
class MappedFile {
 public:
  explicit MappedFile(const File& file);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  // Hints to the kernel about part of bytes(): read it ahead, or drop its pages from this process.
  void will_need(std::span<const std::byte> part) const noexcept;
  void done_with(std::span<const std::byte> part) const noexcept;

 private:
  std::span<const std::byte> bytes_;
};

// A small file as text. Throws when it is larger than `max_bytes`.
std::string read_text_file(const std::filesystem::path& path,
                           std::uint64_t max_bytes = std::uint64_t{256} << 20);
// Creates or truncates the file and makes sure that it is on the disk.
void write_text_file(const std::filesystem::path& path, std::string_view text);

}  // namespace quanthost
