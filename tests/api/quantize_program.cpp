// An application that quantizes a checkpoint through the API and prints its own peak of memory in
// bytes. Usage: api_quantize MODEL OUT PLUGINS QUEUE_BYTES THREADS
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <quanthost/host.hpp>

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  try {
    quanthost::HostOptions of_host;
    of_host.plugin_paths = {argv[3]};
    of_host.trust = "off";
    of_host.use_cache = false;
    of_host.isolate_first_use = false;
    quanthost::Host host(of_host);
    quanthost::LoadOptions load;
    load.method = "absmax8";
    load.max_queue_bytes = std::strtoull(argv[4], nullptr, 10);
    quanthost::set_threads(std::atoi(argv[5]));
    host.quantize(argv[1], argv[2], load);
  } catch (const quanthost::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("%lld\n", static_cast<long long>(usage.ru_maxrss) * 1024);
}
