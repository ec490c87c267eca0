// Any bytes as a manifest: read or refused, the same by the reader of simple texts and by yaml-cpp,
// and again from the JSON that the registry cache keeps.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "host/base/error.hpp"
#include "host/plugins/manifest.hpp"
#include "host/plugins/simple_yaml.hpp"
#include "host/plugins/yaml.hpp"

namespace {

using namespace quanthost;

void expect_what_the_full_parser_gives(std::string_view yaml) {
  const auto simple = parse_simple_yaml(yaml, YamlLimits{}.depth);
  if (!simple || yaml.size() / 2 >= YamlLimits{}.nodes) return;
  try {
    if (*simple != parse_full_yaml(yaml, "fuzz")) std::abort();
  } catch (const Error&) {
    std::abort();  // it accepted what is wrong
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view yaml(reinterpret_cast<const char*>(data), size);
  expect_what_the_full_parser_gives(yaml);
  try {
    const Manifest manifest = Manifest::parse(yaml, "fuzz");
    if (Manifest::from_source(manifest.source, "again").id != manifest.id) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
