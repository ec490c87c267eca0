// Leaves a process behind that has left its session, ignores signals and keeps every descriptor.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake_plugin.hpp"

QH_EXPORT qh_status qh_plugin_entry_v1(const qh_offer*, qh_accept* accept) {
  if (fork() == 0) {
    setsid();
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (const char* path = getenv("QH_TEST_TRACE")) {
      const int fd = open(path, O_CREAT | O_WRONLY, 0600);
      dprintf(fd, "%d", getpid());
      close(fd);
    }
    for (;;) pause();
  }
  usleep(100 * 1000);  // so that the child has written its number
  return fake::accept_offer(accept);
}
