#include "host/load/calibration/known_values.hpp"

namespace quanthost {

bool MemoryBudget::take(std::uint64_t bytes) {
  const auto wanted = static_cast<std::int64_t>(bytes);
  if (left_.fetch_sub(wanted) >= wanted) return true;
  left_ += wanted;
  return false;
}

KnownValues::~KnownValues() { forget_all(); }

const KnownValues::Known* KnownValues::find(Of of, std::size_t layer) const {
  const auto& known = known_[place(of, layer)];
  return known ? &*known : nullptr;
}

void KnownValues::keep(Of of, std::size_t layer, const at::Tensor& value, const Layers& came_from) {
  forget(of, layer);
  if (!value.device().is_cpu() || !budget_->take(value.nbytes())) return;
  known_[place(of, layer)] = Known{value, came_from};
}

void KnownValues::forget(Of of, std::size_t layer) { drop(known_[place(of, layer)]); }

void KnownValues::drop(std::optional<Known>& known) {
  if (!known) return;
  budget_->give_back(known->value.nbytes());
  known.reset();
}

void KnownValues::forget_all() {
  for (auto& known : known_) drop(known);
}

void KnownValues::forget_what_came_from(const Layers& changed) {
  for (auto& known : known_) {
    for (std::size_t i = 0; known && i < changed.size(); ++i) {
      if (changed[i] && known->came_from[i]) drop(known);
    }
  }
}

}  // namespace quanthost
