// What the layers of a block gave, or were given, for one row of calibration data in an earlier
// pass: computed once as long as nothing that it came from is changed.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

namespace quanthost {

// Bytes that may still be taken. Any thread.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::uint64_t bytes) : left_(static_cast<std::int64_t>(bytes)) {}
  bool take(std::uint64_t bytes);  // false: there is not that much left
  std::uint64_t left() const {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(left_, 0));
  }
  void give_back(std::uint64_t bytes) { left_ += static_cast<std::int64_t>(bytes); }

 private:
  std::atomic<std::int64_t> left_;
};

// One thread at a time.
class KnownValues {
 public:
  using Layers = std::vector<bool>;  // by their places in the block's list
  enum class Of { kOutput, kInput };
  struct Known {
    at::Tensor value;
    Layers came_from;  // the layers that were run on the way to it
  };

  // `budget` outlives this object.
  KnownValues(std::size_t layers, MemoryBudget& budget) : known_(2 * layers), budget_(&budget) {}
  KnownValues(KnownValues&&) = default;
  ~KnownValues();

  const Known* find(Of of, std::size_t layer) const;
  // Only on the CPU, and as far as the budget goes.
  void keep(Of of, std::size_t layer, const at::Tensor& value, const Layers& came_from);
  void forget(Of of, std::size_t layer);
  void forget_all();
  void forget_what_came_from(const Layers& changed);

 private:
  static std::size_t place(Of of, std::size_t layer) {
    return 2 * layer + (of == Of::kInput ? 1 : 0);
  }
  void drop(std::optional<Known>& known);

  std::vector<std::optional<Known>> known_;  // of each layer the output and the input
  MemoryBudget* budget_;
};

}  // namespace quanthost
