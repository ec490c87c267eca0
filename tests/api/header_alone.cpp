// quanthost.h and host.hpp compile alone, as C++17 and without LibTorch.
#include <quanthost/quanthost.h>

#include <quanthost/host.hpp>
