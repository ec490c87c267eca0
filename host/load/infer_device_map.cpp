#include <algorithm>
#include <deque>

#include "host/load/device_map.hpp"

namespace quanthost {
namespace {

struct Piece {
  std::string name;             // full
  const ModuleOutline* module;  // null for a single parameter or buffer
};

class Placement {
 public:
  Placement(const ModelOutline& model, const MemoryLimits& limits)
      : model_(model), sizes_(module_sizes(model)), limits_(limits) {
    std::erase_if(limits_, [](const auto& limit) { return limit.first == "disk"; });
    for (const auto& [tied, owner] : model.tied) tied_groups_[owner].push_back(tied);
    for (auto& [owner, group] : tied_groups_) {
      group.push_back(owner);
      std::sort(group.begin(), group.end());
    }
    const ModuleOutline& root = model.root;
    for (const TensorOutline& parameter : root.parameters)
      queue_.push_back({parameter.name, nullptr});
    for (const ModuleOutline& child : root.children) queue_.push_back({child.name, &child});
    for (const TensorOutline& buffer : root.buffers) queue_.push_back({buffer.name, nullptr});
    find_largest_layers({queue_.begin(), queue_.end()});
  }

  DeviceMap run() {
    while (!queue_.empty()) {
      const Piece piece = queue_.front();
      queue_.pop_front();
      forget_layers_of(piece.name);
      place(piece);
    }
    map_.merge_children();
    return std::move(map_);
  }

 private:
  bool on_disk() const { return current_ == limits_.size(); }
  const std::string& device() const { return on_disk() ? kDisk : limits_[current_].first; }

  // The first accelerator and the cpu stay able to hold any layer that is brought back from
  // elsewhere.
  bool keeps_room() const { return !on_disk() && (device() == "cpu" || current_ == 0); }

  void place(const Piece& piece) {
    const std::vector<Piece> partners = tied_partners(piece.name);
    if (on_disk()) return assign(piece, partners);
    const double limit = limits_[current_].second - (keeps_room() ? largest_layer_bytes_ : 0);
    double with_partners = size_of(piece.name);
    for (const Piece& partner : partners) with_partners += size_of(partner.name);
    if (used_ + with_partners <= limit) {
      used_ += with_partners;
      return assign(piece, partners);
    }
    if (!partners.empty() && used_ + size_of(piece.name) <= limit &&
        split_a_partner(piece, partners))
      return;
    if (can_split(piece)) {
      prepend(children_of(piece));
      find_largest_layers(queued_modules());
      return;
    }
    ++current_;
    used_ = 0;
    queue_.push_front(piece);
  }

  void assign(const Piece& piece, const std::vector<Piece>& partners) {
    map_.set(piece.name, device());
    for (const Piece& partner : partners) {
      std::erase_if(queue_, [&](const Piece& queued) { return queued.name == partner.name; });
      map_.set(partner.name, device());
    }
  }

  bool split_a_partner(const Piece& piece, const std::vector<Piece>& partners) {
    for (const Piece& partner : partners) {
      if (!can_split(partner)) continue;
      const auto at = std::find_if(queue_.begin(), queue_.end(),
                                   [&](const Piece& q) { return q.name == partner.name; });
      const std::vector<Piece> children = children_of(partner);
      queue_.insert(queue_.erase(at), children.begin(), children.end());
      queue_.push_front(piece);
      find_largest_layers(queued_modules());
      return true;
    }
    return false;
  }

  // The queued pieces that hold a parameter tied to one inside `name`. The test is transformers':
  // the dotted name occurs anywhere in the parameter's, not only in front.
  std::vector<Piece> tied_partners(const std::string& name) const {
    const auto holds = [&](const std::string& parameter) {
      return (parameter + ".").find(name + ".") != std::string::npos;
    };
    std::vector<Piece> partners;
    for (const auto& [owner, group] : tied_groups_) {
      if (std::none_of(group.begin(), group.end(), holds)) continue;
      for (const std::string& parameter : group) {
        if (holds(parameter)) continue;
        const auto at = std::find_if(queue_.begin(), queue_.end(), [&](const Piece& queued) {
          return parameter.starts_with(queued.name + ".");
        });
        if (at == queue_.end()) continue;
        const auto known = [&](const Piece& partner) { return partner.name == at->name; };
        if (std::none_of(partners.begin(), partners.end(), known)) partners.push_back(*at);
      }
    }
    return partners;
  }

  bool can_split(const Piece& piece) const {
    return piece.module && !piece.module->children.empty() &&
           !model_.no_split_classes.contains(piece.module->class_name);
  }

  static std::vector<Piece> children_of(const Piece& piece) {
    std::vector<Piece> out;
    for (const TensorOutline& p : piece.module->parameters)
      out.push_back({join_name(piece.name, p.name), nullptr});
    for (const ModuleOutline& m : piece.module->children)
      out.push_back({join_name(piece.name, m.name), &m});
    return out;
  }

  void prepend(const std::vector<Piece>& pieces) {
    queue_.insert(queue_.begin(), pieces.begin(), pieces.end());
  }

  std::vector<Piece> queued_modules() const {
    std::vector<Piece> out;
    std::copy_if(queue_.begin(), queue_.end(), std::back_inserter(out),
                 [](const Piece& p) { return p.module; });
    return out;
  }

  void forget_layers_of(const std::string& name) {
    std::erase_if(largest_layers_, [&](const std::string& layer) {
      return layer == name || layer.starts_with(name + ".");
    });
    if (largest_layers_.empty()) find_largest_layers(queued_modules());
  }

  void find_largest_layers(const std::vector<Piece>& pieces) {
    largest_layer_bytes_ = 0;
    largest_layers_.clear();
    for (const Piece& piece : pieces) visit_layers(piece);
  }

  void visit_layers(const Piece& piece) {
    if (can_split(piece)) {
      for (const ModuleOutline& m : piece.module->children)
        visit_layers({join_name(piece.name, m.name), &m});
      return;
    }
    const double bytes = size_of(piece.name);
    if (bytes > largest_layer_bytes_) {
      largest_layer_bytes_ = bytes;
      largest_layers_.clear();
    }
    if (bytes == largest_layer_bytes_) largest_layers_.push_back(piece.name);
  }

  double size_of(const std::string& name) const {
    const auto found = sizes_.find(name);
    return found == sizes_.end() ? 0 : found->second;
  }

  inline static const std::string kDisk = "disk";

  const ModelOutline& model_;
  const std::map<std::string, double> sizes_;
  MemoryLimits limits_;
  std::map<std::string, std::vector<std::string>>
      tied_groups_;  // owner -> everyone who shares its memory
  std::deque<Piece> queue_;
  DeviceMap map_;
  std::size_t current_ = 0;  // index into limits_; its size means disk
  double used_ = 0;          // on the current device
  double largest_layer_bytes_ = 0;
  std::vector<std::string> largest_layers_;
};

}  // namespace

DeviceMap infer_device_map(const ModelOutline& model, const MemoryLimits& limits) {
  return Placement(model, limits).run();
}

}  // namespace quanthost
