#include "host/devices/hip_runtime.hpp"

#include <optional>

namespace quanthost {
namespace {

// The cause that is reported is that of the newest, which is the one to install.
DriverLibrary first_that_opens(const std::vector<std::string>& libraries) {
  std::optional<Error> cause;
  for (const std::string& path : libraries) {
    try {
      return DriverLibrary(path, "no HIP runtime");
    } catch (const Error& error) {
      if (!cause) cause = error;
    }
  }
  throw Error(*cause);
}

}  // namespace

HipRuntime::HipRuntime(const std::vector<std::string>& libraries)
    : library(first_that_opens(libraries)) {
  library.find(get_error_string, "hipGetErrorString");
  library.find(device_count, "hipGetDeviceCount");
  library.find(get_device, "hipGetDevice");
  library.find(set_device, "hipSetDevice");
  library.find(device_name, "hipDeviceGetName");
  library.find(device_total_memory, "hipDeviceTotalMem");
  library.find(pci_bus_id, "hipDeviceGetPCIBusId");
  library.find(memory_info, "hipMemGetInfo");
  library.find(allocate, "hipMalloc");
  library.find(release, "hipFree");
  library.find(allocate_host, "hipHostMalloc");
  library.find(release_host, "hipHostFree");
  library.find(copy, "hipMemcpyAsync");
  library.find(fill, "hipMemsetAsync");
  library.find(create_stream, "hipStreamCreateWithFlags");
  library.find(destroy_stream, "hipStreamDestroy");
  library.find(wait_for_stream, "hipStreamSynchronize");
  library.find(let_stream_wait, "hipStreamWaitEvent");
  library.find(create_event, "hipEventCreateWithFlags");
  library.find(destroy_event, "hipEventDestroy");
  library.find(record_event, "hipEventRecord");
  library.find(query_event, "hipEventQuery");
  library.find(wait_for_event, "hipEventSynchronize");
}

void HipRuntime::check(Result result, const char* what) const {
  if (result == 0) return;
  constexpr Result kOutOfMemory = 2;
  fail(result == kOutOfMemory ? ErrorKind::kMemory : ErrorKind::kRuntime, "{}: {}", what,
       get_error_string(result));
}

HipRuntime::Current::Current(const HipRuntime& runtime, int device) : runtime_(runtime) {
  runtime.check(runtime.get_device(&before_), "asking for the current HIP device");
  runtime.check(runtime.set_device(device), "making a HIP device current");
}
HipRuntime::Current::~Current() { runtime_.set_device(before_); }

}  // namespace quanthost
