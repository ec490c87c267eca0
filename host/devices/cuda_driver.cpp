#include "host/devices/cuda_driver.hpp"

namespace quanthost {

// The suffixes are the driver's: the same names without them are functions of old ABIs.
CudaDriver::CudaDriver(const std::string& path) : library(path, "no NVIDIA driver") {
  library.find(init, "cuInit");
  library.find(get_error_name, "cuGetErrorName");
  library.find(get_error_string, "cuGetErrorString");
  library.find(device_count, "cuDeviceGetCount");
  library.find(device_get, "cuDeviceGet");
  library.find(device_name, "cuDeviceGetName");
  library.find(device_attribute, "cuDeviceGetAttribute");
  library.find(device_total_memory, "cuDeviceTotalMem_v2");
  library.find(retain_primary_context, "cuDevicePrimaryCtxRetain");
  library.find(push_context, "cuCtxPushCurrent_v2");
  library.find(pop_context, "cuCtxPopCurrent_v2");
  library.find(memory_info, "cuMemGetInfo_v2");
  library.find(allocate, "cuMemAlloc_v2");
  library.find(release, "cuMemFree_v2");
  library.find(allocate_on_stream, "cuMemAllocAsync");
  library.find(release_on_stream, "cuMemFreeAsync");
  library.find(allocate_host, "cuMemHostAlloc");
  library.find(release_host, "cuMemFreeHost");
  library.find(copy, "cuMemcpyAsync");
  library.find(fill, "cuMemsetD8Async");
  library.find(create_stream, "cuStreamCreate");
  library.find(destroy_stream, "cuStreamDestroy_v2");
  library.find(wait_for_stream, "cuStreamSynchronize");
  library.find(let_stream_wait, "cuStreamWaitEvent");
  library.find(create_event, "cuEventCreate");
  library.find(destroy_event, "cuEventDestroy_v2");
  library.find(record_event, "cuEventRecord");
  library.find(query_event, "cuEventQuery");
  library.find(wait_for_event, "cuEventSynchronize");
  check(init(0), "starting the CUDA driver");
}

void CudaDriver::check(Result result, const char* what) const {
  if (result == 0) return;
  constexpr Result kOutOfMemory = 2;
  const char* name = nullptr;
  const char* text = nullptr;
  get_error_name(result, &name);
  get_error_string(result, &text);
  fail(result == kOutOfMemory ? ErrorKind::kMemory : ErrorKind::kRuntime, "{}: {}: {}", what,
       name == nullptr ? "CUDA error " + std::to_string(result) : std::string(name),
       text == nullptr ? "no text" : text);
}

CudaDriver::Current::Current(const CudaDriver& driver, void* context) : driver_(driver) {
  driver.check(driver.push_context(context), "making a CUDA device current");
}
CudaDriver::Current::~Current() {
  void* popped = nullptr;
  driver_.pop_context(&popped);
}

}  // namespace quanthost
