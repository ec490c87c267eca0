// The CUDA driver's functions that the host calls, found in libcuda while the program runs. The
// types are ours: no CUDA header is needed to build.
#pragma once

#include <cstddef>
#include <string>

#include "host/devices/shared_library.hpp"

namespace quanthost {

struct CudaDriver {
  using Result = int;
  using DeviceHandle = int;
  using Pointer = unsigned long long;
  static constexpr Result kNotReady = 600;

  // Opens the library and starts the driver. Throws Error with the first cause: no library, no
  // device.
  explicit CudaDriver(const std::string& path);

  // Throws Error when `result` is a failure: "<what>: <name>: <text>".
  void check(Result result, const char* what) const;

  // Makes a device's primary context, the one LibTorch uses too, current for a scope.
  class Current {
   public:
    Current(const CudaDriver& driver, void* context);
    ~Current();
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

   private:
    const CudaDriver& driver_;
  };

  DriverLibrary library;
  Result (*init)(unsigned);
  Result (*get_error_name)(Result, const char**);
  Result (*get_error_string)(Result, const char**);
  Result (*device_count)(int*);
  Result (*device_get)(DeviceHandle*, int);
  Result (*device_name)(char*, int, DeviceHandle);
  Result (*device_attribute)(int*, int, DeviceHandle);
  Result (*device_total_memory)(std::size_t*, DeviceHandle);
  Result (*retain_primary_context)(void**, DeviceHandle);
  Result (*push_context)(void*);
  Result (*pop_context)(void**);
  Result (*memory_info)(std::size_t*, std::size_t*);
  Result (*allocate)(Pointer*, std::size_t);
  Result (*release)(Pointer);
  Result (*allocate_on_stream)(Pointer*, std::size_t, void*);
  Result (*release_on_stream)(Pointer, void*);
  Result (*allocate_host)(void**, std::size_t, unsigned);
  Result (*release_host)(void*);
  Result (*copy)(Pointer, Pointer, std::size_t, void*);
  Result (*fill)(Pointer, unsigned char, std::size_t, void*);
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
