// The kernels compiled for scalar; see CMakeLists.txt for the compiler's options.
#define QH_ISA scalar
#include "host/model/cpu/kernels.inl"

namespace quanthost::model::cpu {
const Kernels kScalarKernels = scalar::make_kernels("scalar");
}
