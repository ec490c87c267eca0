/* Preloaded: writes every dlopen of this process and its children into the file that
 * QH_TEST_DLOPEN_LOG names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((visibility("default"))) void* dlopen(const char* file, int mode) {
  static void* (*real)(const char*, int);
  if (!real) *(void**)&real = dlsym(RTLD_NEXT, "dlopen");
  const char* log = getenv("QH_TEST_DLOPEN_LOG");
  if (log && file) {
    int fd = open(log, O_CREAT | O_APPEND | O_WRONLY, 0600);
    dprintf(fd, "%s\n", file);
    close(fd);
  }
  return real(file, mode);
}
