/* The native stream of an emulated device: how its kernels run. Plain C, because it crosses from
 * host to plugin. */
#ifndef QUANTHOST_KERNEL_EMULATED_STREAM_H
#define QUANTHOST_KERNEL_EMULATED_STREAM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A null stream means: warp size, seed and threads from QUANTHOST_EMULATOR_WARP_SIZE (32),
   QUANTHOST_EMULATOR_SEED (0) and QUANTHOST_EMULATOR_THREADS (all cores). Launches return when the
   kernel has ended. */
typedef struct qh_emulated_stream {
  uint32_t struct_size;
  uint32_t warp_size;   /* 32 or 64 */
  uint64_t seed;        /* orders the lanes, warps and blocks; results must not depend on it */
  uint32_t max_threads; /* operating system threads a launch may use; 0 is one a core */
  uint32_t reserved;
  /* Runs body(argument, i) once for every i < count, on any threads; returns when all have ended.
     Null: the emulator starts threads of its own for the launch. `body` never fails and never
     throws. */
  void (*parallel_for)(void* context, uint64_t count, void (*body)(void* argument, uint64_t i),
                       void* argument);
  void* context; /* handed to parallel_for */
} qh_emulated_stream;

#ifdef __cplusplus
}
#endif
#endif
