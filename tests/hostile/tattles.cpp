// Sound, but its constructor leaves a trace: whoever runs code of this file is found out.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake_plugin.hpp"

__attribute__((constructor)) static void leave_trace() {
  if (const char* path = getenv("QH_TEST_TRACE")) close(open(path, O_CREAT | O_WRONLY, 0600));
}

QH_EXPORT qh_status qh_plugin_entry_v1(const qh_offer*, qh_accept* accept) {
  return fake::accept_offer(accept);
}
