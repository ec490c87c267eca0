// model.safetensors.index.json. No accepted file name may leave the directory.
#include <cstdlib>
#include <filesystem>

#include "host/checkpoint/checkpoint_index.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace quanthost;
  try {
    const auto json = parse_json({reinterpret_cast<const char*>(data), size}, "index");
    for (const auto& [tensor, file] : parse_checkpoint_index(json).file_of_tensor) {
      const auto inside = (std::filesystem::path("/d") / file).lexically_normal().string();
      if (!inside.starts_with("/d/")) std::abort();
    }
  } catch (const Error&) {  // refused with a reason
  }
  return 0;
}
