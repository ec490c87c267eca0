#include <quanthost/abi.h>
#include <quanthost/abi/original_inputs.h>

int abi_header_compiles_as_c99(void);
int abi_header_compiles_as_c99(void) { return (int)sizeof(qh_quantizer_api); }
