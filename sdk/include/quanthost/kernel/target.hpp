// Which compiler reads a kernel source, and the words a declaration needs for it. Plain C++ may
// include this too: a formula marked QH_HOST_DEVICE is then shared by CPU and GPU kernels.
#pragma once

#if defined(__HIP__) || defined(__HIPCC__)
#define QH_TARGET_HIP 1
#elif defined(__CUDACC__)
#define QH_TARGET_CUDA 1
#else
#define QH_TARGET_EMULATED 1
#endif

#if defined(QH_TARGET_CUDA)
#include <cuda_runtime.h>
#elif defined(QH_TARGET_HIP)
#include <hip/hip_runtime.h>
#endif

// QH_KERNEL            a function that launch() starts on the device. Internal linkage: two
// libraries never collide. QH_LAUNCH_BOUNDS(n)  the largest block the kernel is launched with,
// written after QH_KERNEL. QH_DEVICE            a function that kernels call. QH_HOST_DEVICE a
// function that kernels and the host call. QH_CONSTANT          a small read-only table at
// namespace scope, read by kernels. QH_UNROLL            before a loop whose trip count is a
// constant.
#if defined(QH_TARGET_EMULATED)
#define QH_KERNEL [[maybe_unused]] static
#define QH_LAUNCH_BOUNDS(threads)
#define QH_DEVICE inline
#define QH_HOST_DEVICE inline
#define QH_CONSTANT [[maybe_unused]] static const
#define QH_UNROLL
#else
#define QH_KERNEL [[maybe_unused]] static __global__
#define QH_LAUNCH_BOUNDS(threads) __launch_bounds__(threads)
#define QH_DEVICE inline __device__
#define QH_HOST_DEVICE inline __host__ __device__
#define QH_CONSTANT [[maybe_unused]] static __constant__ const
#define QH_UNROLL _Pragma("unroll")
#endif
