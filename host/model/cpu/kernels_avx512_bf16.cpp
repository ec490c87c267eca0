// The kernels compiled for avx512_bf16; see CMakeLists.txt for the compiler's options.
#define QH_ISA avx512_bf16
#include "host/model/cpu/kernels.inl"

namespace quanthost::model::cpu {
const Kernels kAvx512Bf16Kernels = avx512_bf16::make_kernels("avx512_bf16");
}
