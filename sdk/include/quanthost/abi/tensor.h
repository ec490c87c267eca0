/* Tensors, element types and devices exactly as DLPack 1.x lays them out, and qh_exec: where and
 * how work is done. */
#ifndef QUANTHOST_ABI_TENSOR_H
#define QUANTHOST_ABI_TENSOR_H

#include <quanthost/abi/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An element type (DLDataType). code 0, bits 0 means "none". Sub-byte types are what they say:
 * {QH_DTYPE_INT, 4, 1}. */
typedef struct qh_dtype {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
} qh_dtype;
enum {
  QH_DTYPE_INT = 0,
  QH_DTYPE_UINT = 1,
  QH_DTYPE_FLOAT = 2,
  QH_DTYPE_BFLOAT = 4,
  QH_DTYPE_COMPLEX = 5,
  QH_DTYPE_BOOL = 6,
  QH_DTYPE_FLOAT8_E4M3FN = 10,
  QH_DTYPE_FLOAT8_E4M3FNUZ = 11,
  QH_DTYPE_FLOAT8_E5M2 = 12,
  QH_DTYPE_FLOAT8_E5M2FNUZ = 13
};

/* Where memory lies (DLDevice). The emulated GPU computes on host memory: its tensors say
 * QH_DEVICE_CPU, and the device that computes is named by qh_exec. */
typedef struct qh_device {
  int32_t type;
  int32_t id;
} qh_device;
enum {
  QH_DEVICE_CPU = 1,
  QH_DEVICE_CUDA = 2,
  QH_DEVICE_CUDA_HOST = 3,
  QH_DEVICE_HIP = 10,
  QH_DEVICE_HIP_HOST = 11
};

/* A view (DLTensor). strides count elements and may be NULL for a contiguous row-major tensor. The
 * first element is at (char*)data + byte_offset. */
typedef struct qh_tensor {
  void* data;
  qh_device device;
  int32_t ndim;
  qh_dtype dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
} qh_tensor;

/* A tensor that can change hands (DLManagedTensorVersioned). Whoever holds it calls deleter(self)
 * once, or passes it on. */
typedef struct qh_managed_tensor {
  uint32_t version_major; /* 1 */
  uint32_t version_minor;
  void* manager_ctx;
  void (*deleter)(struct qh_managed_tensor* self);
  uint64_t flags;
  qh_tensor tensor;
} qh_managed_tensor;
#define QH_TENSOR_READ_ONLY 1u /* flags: the data must not be written */

typedef struct qh_tensor_sink {
  void* ctx;
  /* Takes the tensor over, also when it fails. */
  qh_status (*emit)(void* ctx, qh_str name, qh_managed_tensor* tensor);
} qh_tensor_sink;

/* The body of a parallel loop: handles [begin, end). Must not throw; reports failure by status. */
typedef qh_status (*qh_range_fn)(void* arg, int64_t begin, int64_t end);

/* Where and how one call does its work. Passed to every call that computes; borrowed for the call.
 */
typedef struct qh_exec {
  uint32_t struct_size;
  uint32_t thread_count; /* how many threads parallel_for may use */
  /* "cpu", "cuda:0", "hip:1", "emulated:0": a kind with a provider and an index. */
  qh_str device_name;
  qh_device device; /* where this device's tensors lie */
  /* cudaStream_t, hipStream_t, or qh_emulated_stream* (kernel/emulated_stream.h); else NULL. Work
   * is queued on it, never waited for. */
  void* stream;
  void* ctx; /* first argument of the functions below, all of them [any thread] during the call */
  /* Scratch memory on the device, aligned to 64 bytes (256 on a GPU), uninitialized. Whoever
   * allocates releases before the call returns; release is ordered after the stream's work. */
  qh_status (*allocate)(void* ctx, uint64_t bytes, void** out);
  void (*release)(void* ctx, void* memory);
  /* Splits [0, count) into ranges of about `grain` or more (one that does not end at `count` has
   * at least half of it) and runs them on the host's threads; returns the first failure. Ranges and
   * their order do not depend on the number of threads when the caller makes results independent of
   * them. */
  qh_status (*parallel_for)(void* ctx, int64_t count, int64_t grain, qh_range_fn body, void* arg);
  int32_t (*cancelled)(void* ctx); /* 1: stop soon and return QH_ERR_CANCELLED */
  /* How far this call is, in units of its own choice. Cheap. */
  void (*progress)(void* ctx, uint64_t done, uint64_t total);
} qh_exec;

#ifdef __cplusplus
}
#endif
#endif
