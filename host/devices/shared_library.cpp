#include "host/devices/shared_library.hpp"

#include <dlfcn.h>

namespace quanthost {

DriverLibrary::DriverLibrary(const std::string& path, const char* absence)
    : path_(path), handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ == nullptr) fail(ErrorKind::kRuntime, "{}: {}", absence, dlerror());
}

void* DriverLibrary::address_of(const char* symbol) const {
  void* address = dlsym(handle_, symbol);
  if (address == nullptr) {
    fail(ErrorKind::kRuntime, "{} has no function {}: the driver is older than this program needs",
         path_, symbol);
  }
  return address;
}

}  // namespace quanthost
