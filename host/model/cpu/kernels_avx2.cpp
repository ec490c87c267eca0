// The kernels compiled for avx2; see CMakeLists.txt for the compiler's options.
#define QH_ISA avx2
#include "host/model/cpu/kernels.inl"

namespace quanthost::model::cpu {
const Kernels kAvx2Kernels = avx2::make_kernels("avx2");
}
