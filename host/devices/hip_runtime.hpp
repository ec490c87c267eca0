// The HIP runtime's functions that the host calls, found in libamdhip64 while the program runs.
// Only functions whose types are the same in ROCm 5, 6 and 7: no structure of HIP is read.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "host/devices/shared_library.hpp"

namespace quanthost {

struct HipRuntime {
  using Result = int;
  static constexpr Result kNoDevice = 100;
  static constexpr Result kNotReady = 600;

  // Opens the first of the libraries that is there. Throws Error with the first cause.
  explicit HipRuntime(const std::vector<std::string>& libraries);

  // Throws Error when `result` is a failure: "<what>: <text>".
  void check(Result result, const char* what) const;

  // Makes a device current for a scope.
  class Current {
   public:
    Current(const HipRuntime& runtime, int device);
    ~Current();
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

   private:
    const HipRuntime& runtime_;
    int before_ = 0;
  };

  DriverLibrary library;
  const char* (*get_error_string)(Result);
  Result (*device_count)(int*);
  Result (*get_device)(int*);
  Result (*set_device)(int);
  Result (*device_name)(char*, int, int);
  Result (*device_total_memory)(std::size_t*, int);
  Result (*pci_bus_id)(char*, int, int);
  Result (*memory_info)(std::size_t*, std::size_t*);
  Result (*allocate)(void**, std::size_t);
  Result (*release)(void*);
  Result (*allocate_host)(void**, std::size_t, unsigned);
  Result (*release_host)(void*);
  Result (*copy)(void*, const void*, std::size_t, int, void*);
  Result (*fill)(void*, int, std::size_t, void*);
  Result (*create_stream)(void**, unsigned);
  Result (*destroy_stream)(void*);
  Result (*wait_for_stream)(void*);
  Result (*let_stream_wait)(void*, void*, unsigned);
  Result (*create_event)(void**, unsigned);
  Result (*destroy_event)(void*);
  Result (*record_event)(void*, void*);
  Result (*query_event)(void*);
  Result (*wait_for_event)(void*);
};

}  // namespace quanthost
