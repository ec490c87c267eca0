/* A disk without room: whatever writes file contents fails with ENOSPC, for programs that preload
 * this library. Writing to terminals and pipes goes on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_file(int descriptor) {
  struct stat status;
  return fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

/* The test keeps standard output and error in pipes, so every regular file is on the full disk. */
#define FULL(descriptor)     \
  if (is_file(descriptor)) { \
    errno = ENOSPC;          \
    return -1;               \
  }

ssize_t write(int descriptor, const void* data, size_t bytes) {
  FULL(descriptor)
  return ((ssize_t(*)(int, const void*, size_t))dlsym(RTLD_NEXT, "write"))(descriptor, data, bytes);
}

ssize_t pwrite64(int descriptor, const void* data, size_t bytes, off64_t at) {
  FULL(descriptor)
  return ((ssize_t(*)(int, const void*, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(
      descriptor, data, bytes, at);
}

ssize_t pwrite(int descriptor, const void* data, size_t bytes, off_t at) {
  FULL(descriptor)
  return ((ssize_t(*)(int, const void*, size_t, off_t))dlsym(RTLD_NEXT, "pwrite"))(descriptor, data,
                                                                                   bytes, at);
}

int fallocate(int descriptor, int mode, off_t at, off_t bytes) {
  (void)mode, (void)at, (void)bytes;
  FULL(descriptor)
  return 0;
}

int fallocate64(int descriptor, int mode, off64_t at, off64_t bytes) {
  return fallocate(descriptor, mode, (off_t)at, (off_t)bytes);
}

int posix_fallocate(int descriptor, off_t at, off_t bytes) {
  (void)at, (void)bytes;
  return is_file(descriptor) ? ENOSPC : 0;
}

int posix_fallocate64(int descriptor, off64_t at, off64_t bytes) {
  return posix_fallocate(descriptor, (off_t)at, (off_t)bytes);
}
