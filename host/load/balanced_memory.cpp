#include "host/load/balanced_memory.hpp"

#include <algorithm>
#include <cmath>

namespace quanthost {

MemoryLimits balanced_memory(const ModelOutline& model, MemoryLimits limits, FirstDevice first,
                             LimitsFrom from) {
  std::vector<double*> shares;  // of the accelerators that can hold something, by index
  for (auto& [device, bytes] : limits) {
    if (is_accelerator(device) && bytes > 0) shares.push_back(&bytes);
  }
  if (shares.empty()) return limits;
  bool keep_first_free = first == FirstDevice::kKeepFree;
  if (shares.size() == 1) {
    keep_first_free = false;
    if (from == LimitsFrom::kMeasuredFreeMemory) *shares[0] *= 0.9;
  }

  const auto sizes = module_sizes(model);
  const double total = sizes.at("");
  // An even share alone would leave the last layers without a place: each device gets a little less
  // than its share.
  const double slack =
      std::trunc(1.25 * std::max(largest_no_split_bytes(model, sizes), mean_leaf_bytes(model)));
  const double share =
      std::floor(total / static_cast<double>(keep_first_free ? shares.size() - 1 : shares.size())) +
      slack;
  for (std::size_t i = 0; i + 1 < shares.size(); ++i) {
    if (!(keep_first_free && i == 0)) *shares[i] = std::min(share, *shares[i]);
  }
  if (keep_first_free) {
    double others = 0;
    for (std::size_t i = 1; i < shares.size(); ++i) others += *shares[i];
    *shares[0] = std::min(std::max(0.0, total - others), *shares[0]);
  }
  return limits;
}

}  // namespace quanthost
