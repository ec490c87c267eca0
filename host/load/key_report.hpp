// What a checkpoint and a model have in common: missing, unexpected and mismatched keys, as
// transformers reports them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/json.hpp"

namespace quanthost {

struct ShapeMismatch {
  std::string name;
  std::vector<std::int64_t> found;     // in the checkpoint
  std::vector<std::int64_t> expected;  // by the model
  std::string file;
};

struct KeyReport {
  std::vector<std::string> missing;     // of the model, not in the checkpoint, in the model's order
  std::vector<std::string> unexpected;  // in the checkpoint, not of the model, in file order
  std::vector<ShapeMismatch> mismatched;

  bool clean() const { return missing.empty() && unexpected.empty() && mismatched.empty(); }
  Json to_json() const;
  std::string text() const;  // for people: counts and the first names of each kind
};

// Checkpoints of a bare model load into one with a head and the reverse: names with or without
// `prefix` ("model."). The rule is transformers': the prefix is added when no checkpoint key has it
// and the model's keys do, removed in the reverse case.
enum class PrefixChange { kNone, kAdd, kRemove };
PrefixChange prefix_change(std::string_view prefix, const std::vector<std::string>& checkpoint_keys,
                           const std::vector<std::string>& model_keys);
std::string rename_key(const std::string& key, std::string_view prefix, PrefixChange change);

// `patterns`: regular expressions, found anywhere in the key, that a model class expects to be
// missing or unexpected.
std::vector<std::string> without_matching(const std::vector<std::string>& keys,
                                          const std::vector<std::string>& patterns);

std::string shape_text(const std::vector<std::int64_t>& shape);  // "[64, 32]"

}  // namespace quanthost
