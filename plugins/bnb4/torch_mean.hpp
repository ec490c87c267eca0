// LibTorch's mean of a float32 vector, bit for bit.
#ifndef QUANTHOST_PLUGINS_BNB4_TORCH_MEAN_HPP
#define QUANTHOST_PLUGINS_BNB4_TORCH_MEAN_HPP

#include <cstdint>

namespace quanthost::bnb4 {

// As torch.mean gives it on an x86 CPU with one thread. With several threads LibTorch splits sums
// of 32768 elements and more by the number of threads, so its last bit then depends on the machine;
// ours never does.
float torch_mean(const float* values, int64_t count);

}  // namespace quanthost::bnb4

#endif
