// The kernels compiled for avx512; see CMakeLists.txt for the compiler's options.
#define QH_ISA avx512
#include "host/model/cpu/kernels.inl"

namespace quanthost::model::cpu {
const Kernels kAvx512Kernels = avx512::make_kernels("avx512");
}
