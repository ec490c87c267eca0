// Any bytes as a plugin file: header, sections, notes and dynamic section are read as a listing
// reads them, nothing is run, and the answer is a manifest or a fault.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "host/base/error.hpp"
#include "host/plugins/plugin_record.hpp"

namespace {

// In memory where the system has such a folder; removed when the process ends.
struct ScratchFile {
  ScratchFile() {
    const bool in_memory = std::filesystem::is_directory("/dev/shm");
    path = std::string(in_memory ? "/dev/shm" : "/tmp") + "/quanthost-fuzz-XXXXXX";
    descriptor = ::mkstemp(path.data());
    if (descriptor < 0) std::abort();
  }
  ~ScratchFile() {
    ::close(descriptor);
    ::unlink(path.c_str());
  }
  void hold(const std::uint8_t* data, std::size_t size) const {
    if (::ftruncate(descriptor, 0) != 0 ||
        ::pwrite(descriptor, data, size, 0) != static_cast<ssize_t>(size))
      std::abort();
  }
  std::string path;
  int descriptor;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ScratchFile file;
  file.hold(data, size);
  try {
    const auto content = quanthost::read_plugin_file(file.path);
    if (content.manifest.has_value() != content.fault.empty()) std::abort();
  } catch (const quanthost::Error&) {  // an empty file
  }
  return 0;
}
