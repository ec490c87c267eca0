/* A HIP runtime of the tests: one device whose memory is the host's, or as many as FAKE_HIP_DEVICES
 * says. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static int current = -1; /* what a program around us has chosen */
static int allocations;

int fake_current(void) { return current; }
int fake_allocations(void) { return allocations; }

const char* hipGetErrorString(int error) {
  return error == 2 ? "hipErrorOutOfMemory" : "hipErrorUnknown";
}
int hipGetDeviceCount(int* count) {
  const char* text = getenv("FAKE_HIP_DEVICES");
  *count = text == NULL ? 1 : atoi(text);
  return *count == 0 ? 100 : 0;
}
int hipGetDevice(int* device) {
  *device = current;
  return 0;
}
int hipSetDevice(int device) {
  current = device;
  return 0;
}
int hipDeviceGetName(char* name, int length, int device) {
  (void)device;
  strncpy(name, "Fake MI250X", (size_t)length);
  return 0;
}
int hipDeviceTotalMem(size_t* bytes, int device) {
  (void)device;
  *bytes = (size_t)64 << 30;
  return 0;
}
int hipDeviceGetPCIBusId(char* text, int length, int device) {
  (void)device;
  strncpy(text, "0001:c1:00.0", (size_t)length);
  return 0;
}
int hipMemGetInfo(size_t* free_bytes, size_t* total) {
  *free_bytes = (size_t)60 << 30;
  *total = (size_t)64 << 30;
  return current == 0 ? 0 : 1;
}
int hipMalloc(void** memory, size_t bytes) {
  if (current != 0) return 1;
  if (bytes > ((size_t)64 << 30)) return 2;
  *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
  ++allocations;
  return 0;
}
int hipFree(void* memory) {
  free(memory);
  --allocations;
  return 0;
}
int hipHostMalloc(void** memory, size_t bytes, unsigned flags) {
  (void)flags;
  return hipMalloc(memory, bytes);
}
int hipHostFree(void* memory) { return hipFree(memory); }
int hipMemcpyAsync(void* to, const void* from, size_t bytes, int kind, void* stream) {
  (void)stream;
  if (current != 0 || kind < 1 || kind > 3) return 1;
  memcpy(to, from, bytes);
  return 0;
}
int hipMemsetAsync(void* to, int value, size_t bytes, void* stream) {
  (void)stream;
  memset(to, value, bytes);
  return current == 0 ? 0 : 1;
}
int hipStreamCreateWithFlags(void** stream, unsigned flags) {
  *stream = calloc(1, 1);
  return flags == 1 ? 0 : 1;
}
int hipStreamDestroy(void* stream) {
  free(stream);
  return 0;
}
int hipStreamSynchronize(void* stream) {
  (void)stream;
  return 0;
}
int hipStreamWaitEvent(void* stream, void* event, unsigned flags) {
  (void)stream;
  (void)event;
  return (int)flags;
}
int hipEventCreateWithFlags(void** event, unsigned flags) {
  *event = calloc(1, 1);
  return flags == 2 ? 0 : 1;
}
int hipEventDestroy(void* event) {
  free(event);
  return 0;
}
int hipEventRecord(void* event, void* stream) {
  (void)stream;
  *(char*)event = 1;
  return 0;
}
int hipEventQuery(void* event) { return *(char*)event == 1 ? 0 : 600; }
int hipEventSynchronize(void* event) {
  (void)event;
  return 0;
}
