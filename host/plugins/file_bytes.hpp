// An untrusted file: opened without following a last symlink, checked to be a regular file of sane
// size, and read in pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace quanthost {

// Enough to tell that a file is not the one it was. Part of every cache key.
struct FileIdentity {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t mtime_ns = 0;
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

// The real path behind symlinks. Throws kOs for a loop, a dangling link, a FIFO, a device, a
// directory.
std::filesystem::path resolve_regular_file(const std::filesystem::path& path);
FileIdentity identify_file(const std::filesystem::path& real_path);  // throws kOs as above

// Where the ELF reader gets its bytes from: a file, or memory in tests.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual std::uint64_t size() const = 0;
  // Fills `out` from `offset`. Throws kValue when that lies beyond the end, kOs when the system
  // refuses.
  void read(std::uint64_t offset, std::span<std::byte> out) const;

 private:
  virtual void read_checked(std::uint64_t offset, std::span<std::byte> out) const = 0;
};

// Read with pread, not mapped: a file that shrinks while it is read gives an error, not a signal.
class FileBytes : public ByteSource {
 public:
  static constexpr std::uint64_t kMaxBytes = std::uint64_t{8} << 30;

  explicit FileBytes(const std::filesystem::path& real_path);  // throws kOs, kValue
  ~FileBytes() override;
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  std::uint64_t size() const override { return identity_.size; }
  const FileIdentity& identity() const { return identity_; }
  int descriptor() const { return fd_; }  // borrowed

 private:
  void read_checked(std::uint64_t offset, std::span<std::byte> out) const override;

  int fd_ = -1;
  FileIdentity identity_;
};

class MemoryBytes : public ByteSource {
 public:
  explicit MemoryBytes(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::uint64_t size() const override { return bytes_.size(); }

 private:
  void read_checked(std::uint64_t offset, std::span<std::byte> out) const override;

  std::span<const std::byte> bytes_;
};

}  // namespace quanthost
