#include <quanthost/abi.h>
#include <quanthost/abi/original_inputs.h>

int abi_header_compiles_as_cpp17() { return static_cast<int>(sizeof(qh_quantizer_api)); }
