// Kernels written once: the same source compiles with nvcc, with hipcc, and with a C++ compiler on
// the emulator.
//
//   QH_KERNEL void scale(float* data, float factor, int count) {
//     const int i = quanthost::gpu::global_index();
//     if (i < count) data[i] *= factor;
//   }
//   quanthost::gpu::launch(stream, {blocks, 256}, scale, data, 2.0f, count);
//
// docs/kernels.md is the guide. The headers below kernel/ are the only files with a device #ifdef.
#pragma once

#include <cmath>

#include "quanthost/kernel/float16.hpp"
#include "quanthost/kernel/launch.hpp"
#include "quanthost/kernel/target.hpp"
#include "quanthost/kernel/vector.hpp"

#if defined(QH_TARGET_CUDA)
#include "quanthost/kernel/cuda.hpp"
#elif defined(QH_TARGET_HIP)
#include "quanthost/kernel/hip.hpp"
#else
#include "quanthost/kernel/emulated.hpp"
#endif

#include "quanthost/kernel/group.hpp"
#include "quanthost/kernel/mma.hpp"
