// pread, pwrite and fsync as the linker finds them first: the system's, after who watches was
// asked.
#include "tests/load/file_transfers.hpp"

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>

namespace quanthost {
namespace {

std::atomic<WatchedTransfers*> g_watched = nullptr;

// 0, or the errno to fail with.
int asked(Transfer transfer, int file) {
  WatchedTransfers* const watched = g_watched;
  return watched ? watched->before(transfer, file) : 0;
}

}  // namespace

WatchedTransfers::WatchedTransfers(const std::filesystem::path& folder, Watch watch)
    : folder_(folder.string() + "/"), watch_(std::move(watch)) {
  g_watched = this;
}

WatchedTransfers::~WatchedTransfers() { g_watched = nullptr; }

int WatchedTransfers::before(Transfer transfer, int file) {
  const std::string link = "/proc/self/fd/" + std::to_string(file);
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink(link.c_str(), path.data(), path.size());
  if (length < 0 ||
      !std::string(path.data(), static_cast<std::size_t>(length)).starts_with(folder_))
    return 0;
  const std::lock_guard lock(mutex_);
  return watch_(transfer);
}

}  // namespace quanthost

extern "C" ssize_t pread(int file, void* data, std::size_t bytes, off_t offset) {
  if (const int error = quanthost::asked(quanthost::Transfer::kRead, file)) {
    errno = error;
    return -1;
  }
  return syscall(SYS_pread64, file, data, bytes, offset);
}

extern "C" ssize_t pwrite(int file, const void* data, std::size_t bytes, off_t offset) {
  if (const int error = quanthost::asked(quanthost::Transfer::kWrite, file)) {
    errno = error;
    return -1;
  }
  return syscall(SYS_pwrite64, file, data, bytes, offset);
}

extern "C" int fsync(int file) {
  if (const int error = quanthost::asked(quanthost::Transfer::kFlush, file)) {
    errno = error;
    return -1;
  }
  return static_cast<int>(syscall(SYS_fsync, file));
}
