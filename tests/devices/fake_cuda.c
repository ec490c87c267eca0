/* A CUDA driver of the tests: two devices whose memory is the host's. Counts what is current and
 * what is taken. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long Pointer;

static int depth;       /* contexts pushed and not popped */
static int allocations; /* memory taken and not given back, pinned memory too */
static int handles;     /* streams and events */

int fake_depth(void) { return depth; }
int fake_allocations(void) { return allocations; }
int fake_handles(void) { return handles; }

int cuInit(unsigned flags) {
  const char* result = getenv("FAKE_CUDA_INIT");
  (void)flags;
  return result == NULL ? 0 : atoi(result);
}
int cuGetErrorName(int error, const char** name) {
  *name = error == 100 ? "CUDA_ERROR_NO_DEVICE"
          : error == 2 ? "CUDA_ERROR_OUT_OF_MEMORY"
                       : "CUDA_ERROR_UNKNOWN";
  return 0;
}
int cuGetErrorString(int error, const char** text) {
  *text = error == 100 ? "no CUDA-capable device is detected"
          : error == 2 ? "out of memory"
                       : "unknown error";
  return 0;
}
int cuDeviceGetCount(int* count) {
  *count = 2;
  return 0;
}
int cuDeviceGet(int* handle, int index) {
  *handle = 100 + index;
  return 0;
}
int cuDeviceGetName(char* name, int length, int handle) {
  strncpy(name, handle == 100 ? "Fake H200" : "Fake A100", (size_t)length);
  return 0;
}
int cuDeviceGetAttribute(int* value, int which, int handle) {
  *value = which == 75 ? (handle == 100 ? 9 : 8) : which == 76 ? 0 : (handle == 100);
  return 0;
}
int cuDeviceTotalMem_v2(size_t* bytes, int handle) {
  (void)handle;
  *bytes = (size_t)80 << 30;
  return 0;
}
int cuDevicePrimaryCtxRetain(void** context, int handle) {
  *context = (void*)(size_t)handle;
  return 0;
}
int cuCtxPushCurrent_v2(void* context) {
  (void)context;
  ++depth;
  return 0;
}
int cuCtxPopCurrent_v2(void** context) {
  *context = NULL;
  --depth;
  return 0;
}
int cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
  if (depth == 0) return 201; /* invalid context */
  *free_bytes = (size_t)70 << 30;
  *total = (size_t)80 << 30;
  return 0;
}
static int take(void** memory, size_t bytes) {
  if (depth == 0) return 201;
  if (bytes > ((size_t)80 << 30)) return 2;
  *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
  ++allocations;
  return 0;
}
static int give(void* memory) {
  free(memory);
  --allocations;
  return 0;
}
int cuMemAlloc_v2(Pointer* memory, size_t bytes) { return take((void**)memory, bytes); }
int cuMemFree_v2(Pointer memory) { return give((void*)memory); }
int cuMemAllocAsync(Pointer* memory, size_t bytes, void* stream) {
  (void)stream;
  return take((void**)memory, bytes);
}
int cuMemFreeAsync(Pointer memory, void* stream) {
  (void)stream;
  return give((void*)memory);
}
int cuMemHostAlloc(void** memory, size_t bytes, unsigned flags) {
  (void)flags;
  return take(memory, bytes);
}
int cuMemFreeHost(void* memory) { return give(memory); }
int cuMemcpyAsync(Pointer to, Pointer from, size_t bytes, void* stream) {
  (void)stream;
  if (depth == 0) return 201;
  memcpy((void*)to, (const void*)from, bytes);
  return 0;
}
int cuMemsetD8Async(Pointer to, unsigned char value, size_t bytes, void* stream) {
  (void)stream;
  if (depth == 0) return 201;
  memset((void*)to, value, bytes);
  return 0;
}
static int make(void** handle) {
  if (depth == 0) return 201;
  *handle = calloc(1, 1);
  ++handles;
  return 0;
}
static int end(void* handle) {
  free(handle);
  --handles;
  return 0;
}
int cuStreamCreate(void** stream, unsigned flags) { return flags == 1 ? make(stream) : 1; }
int cuStreamDestroy_v2(void* stream) { return end(stream); }
int cuStreamSynchronize(void* stream) {
  (void)stream;
  return 0;
}
int cuStreamWaitEvent(void* stream, void* event, unsigned flags) {
  (void)stream;
  (void)event;
  return (int)flags;
}
int cuEventCreate(void** event, unsigned flags) { return flags == 2 ? make(event) : 1; }
int cuEventDestroy_v2(void* event) { return end(event); }
int cuEventRecord(void* event, void* stream) {
  *(char*)event = 1;
  (void)stream;
  return 0;
}
int cuEventQuery(void* event) { return *(char*)event == 1 ? 0 : 600; }
int cuEventSynchronize(void* event) {
  (void)event;
  return 0;
}
