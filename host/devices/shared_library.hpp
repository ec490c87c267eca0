// A driver's library, opened while the program runs. It is never closed: drivers do not survive
// that.
#pragma once

#include <string>

#include "host/base/error.hpp"

namespace quanthost {

class DriverLibrary {
 public:
  // Throws Error of kind kRuntime: `absence`, e.g. "no NVIDIA driver", and the loader's own words.
  DriverLibrary(const std::string& path, const char* absence);

  // Sets `function` to the symbol; throws when the library does not have it.
  template <class Function>
  void find(Function*& function, const char* symbol) const {
    function = reinterpret_cast<Function*>(address_of(symbol));
  }

 private:
  void* address_of(const char* symbol) const;

  std::string path_;
  void* handle_;
};

}  // namespace quanthost
