// pread as the linker finds it first: the system's, until it is to fail.
#include "tests/load/failing_reads.hpp"

#include <sys/syscall.h>
#include <sys/types.h>

#include <atomic>
#include <cerrno>
#include <climits>

extern "C" long syscall(long number, ...) noexcept;

namespace {

std::atomic<int> g_reads_left = INT_MAX;

}  // namespace

extern "C" ssize_t pread(int file, void* data, std::size_t bytes, off_t offset) {
  if (g_reads_left != INT_MAX && g_reads_left-- == 0) {
    errno = EIO;
    return -1;
  }
  return syscall(SYS_pread64, file, data, bytes, offset);
}

namespace quanthost {

FailingReads::FailingReads(int after) { g_reads_left = after; }
FailingReads::~FailingReads() { g_reads_left = INT_MAX; }

}  // namespace quanthost
