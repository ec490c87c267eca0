/* The function table of the proof kernels: one source, offered by a library each for CUDA, HIP and
   the emulator. Pointers are device memory of the library's target; `stream` is its native stream.
   Functions return 0, or put a text into `error` (of `error_bytes`) and return 1. */
#ifndef QUANTHOST_EXAMPLES_PROOF_KERNELS_H
#define QUANTHOST_EXAMPLES_PROOF_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct proof_call {
  void* stream;
  char* error;
  size_t error_bytes;
} proof_call;

typedef struct proof_kernels {
  uint32_t struct_size;
  uint32_t reserved;
  const char* target; /* "cuda", "hip" or "emulated" */

  /* Whether the device can be used; the error is the first cause why not. [any thread] */
  int32_t (*probe)(const proof_call* call);

  /* For programs without a host of their own. [any thread] */
  int32_t (*allocate)(const proof_call* call, size_t bytes, void** memory);
  void (*release)(void* memory);
  int32_t (*upload)(const proof_call* call, void* device, const void* host, size_t bytes);
  int32_t (*download)(const proof_call* call, void* host, const void* device, size_t bytes);

  /* sum[i] = left[i] + right[i] */
  int32_t (*vector_add)(const proof_call* call, const float* left, const float* right, float* sum,
                        int32_t count);
  /* absmax[b] = largest magnitude of values[b * block .. ); block is 64, 128, 256 … 4096; the last
   * may be short */
  int32_t (*block_absmax)(const proof_call* call, const float* values, float* absmax, int32_t count,
                          int32_t block);
  /* product[m][n] = left[m][k] * right[n][k] transposed; bfloat16 in, float32 out; k is a multiple
   * of 16 */
  int32_t (*matmul_bf16)(const proof_call* call, const uint16_t* left, const uint16_t* right,
                         float* product, int32_t m, int32_t n, int32_t k);
  /* bins[v] += how often the byte v occurs; 256 bins */
  int32_t (*histogram)(const proof_call* call, const uint8_t* values, uint32_t* bins,
                       int32_t count);
  /* sums[t] = sum of tile t of 1024 values, each tile staged through shared memory by async copies
   */
  int32_t (*tile_sums)(const proof_call* call, const float* values, float* sums, int32_t tiles);
} proof_kernels;

/* The table of the library at hand. */
const proof_kernels* proof_kernels_table(void);

#ifdef __cplusplus
}
#endif
#endif
