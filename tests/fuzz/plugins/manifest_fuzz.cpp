// Any bytes as a manifest: read or refused, and what was read is read the same again, from its JSON
// too (as the registry cache keeps it).
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "host/base/error.hpp"
#include "host/plugins/manifest.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace quanthost;
  try {
    const std::string_view yaml(reinterpret_cast<const char*>(data), size);
    const Manifest manifest = Manifest::parse(yaml, "fuzz");
    if (Manifest::from_source(manifest.source, "again").id != manifest.id) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
