// A model as sizes: the tree of modules with the bytes of their tensors, all that placing a model
// needs to know.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace quanthost {

struct TensorOutline {
  std::string name;  // within its module
  double bytes = 0;  // once loaded; a fraction of a byte an element may add up to one
};

struct ModuleOutline {
  std::string name;  // within its parent; empty for the model
  std::string class_name;
  std::vector<TensorOutline> parameters;
  std::vector<TensorOutline> buffers;
  std::vector<ModuleOutline> children;
};

struct ModelOutline {
  ModuleOutline root;
  std::map<std::string, std::string>
      tied;  // parameter that has no memory of its own -> the one it shares
  std::set<std::string> no_split_classes;  // modules that stay on one device
};

// Bytes below every dotted name, tensors included; "" is the whole model. A tied parameter counts
// nothing. Sums are made in the order parameters first, then buffers, so that fractions round as in
// transformers.
std::map<std::string, double> module_sizes(const ModelOutline& model);

// The mean over the modules that hold tensors of their own, truncated to bytes.
double mean_leaf_bytes(const ModelOutline& model);

// The largest module that may not be split, 0 when no class is named.
double largest_no_split_bytes(const ModelOutline& model,
                              const std::map<std::string, double>& sizes);

std::string join_name(const std::string& prefix, const std::string& name);

}  // namespace quanthost
