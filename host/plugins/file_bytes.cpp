#include "host/plugins/file_bytes.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

[[noreturn]] void fail_os(const std::filesystem::path& path, int error) {
  fail(ErrorKind::kOs, "{}: {}", path.string(), std::strerror(error));
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "no regular file";
}

FileIdentity identity_of(const std::filesystem::path& path, const struct stat& info) {
  if (!S_ISREG(info.st_mode))
    fail(ErrorKind::kOs, "{}: is {}, not a regular file", path.string(), kind_of(info.st_mode));
  return {info.st_dev, info.st_ino, static_cast<std::uint64_t>(info.st_size),
          std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
}

}  // namespace

std::filesystem::path resolve_regular_file(const std::filesystem::path& path) {
  char resolved[PATH_MAX];
  if (!::realpath(path.c_str(), resolved)) fail_os(path, errno);
  identify_file(resolved);
  return resolved;
}

FileIdentity identify_file(const std::filesystem::path& real_path) {
  struct stat info {};
  if (::lstat(real_path.c_str(), &info) != 0) fail_os(real_path, errno);
  return identity_of(real_path, info);
}

void ByteSource::read(std::uint64_t offset, std::span<std::byte> out) const {
  if (offset > size() || out.size() > size() - offset) {
    fail(ErrorKind::kValue,
         "truncated or corrupted: {} bytes at offset {} are needed, the file has {}", out.size(),
         offset, size());
  }
  if (!out.empty()) read_checked(offset, out);
}

FileBytes::FileBytes(const std::filesystem::path& real_path) {
  // O_NONBLOCK: opening a FIFO put in the file's place does not wait for a writer.
  fd_ = ::open(real_path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (fd_ < 0) fail_os(real_path, errno);
  try {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) fail_os(real_path, errno);
    identity_ = identity_of(real_path, info);
    if (identity_.size == 0) fail(ErrorKind::kValue, "the file is empty");
    if (identity_.size > kMaxBytes) {
      fail(ErrorKind::kValue, "{} bytes; a plugin has at most {}", identity_.size, kMaxBytes);
    }
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

FileBytes::~FileBytes() { ::close(fd_); }

void FileBytes::read_checked(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(ErrorKind::kOs, "cannot read: {}", std::strerror(errno));
    if (got == 0) fail(ErrorKind::kValue, "truncated while it was read");
    out = out.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

void MemoryBytes::read_checked(std::uint64_t offset, std::span<std::byte> out) const {
  std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
}

}  // namespace quanthost
