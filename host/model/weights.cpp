#include "host/model/weights.hpp"

#include <ATen/ATen.h>

#include <array>
#include <set>

#include "host/base/error.hpp"
#include "host/base/log.hpp"
#include "host/model/cpu/ops.hpp"
#include "host/model/module_tree.hpp"

namespace quanthost::model {
namespace {

struct Renaming {
  Structure structure;
  std::string_view from;
  std::string_view to;
};

// Names that some releases write where the tree here has the older ones. Applied in order, each at
// most once.
constexpr std::array kRenamings{
    Renaming{Structure::kGptNeox, "lm_head.", "embed_out."},
    Renaming{Structure::kVit, "layers.", "encoder.layer."},
    Renaming{Structure::kVit, ".attention.q_proj.", ".attention.attention.query."},
    Renaming{Structure::kVit, ".attention.k_proj.", ".attention.attention.key."},
    Renaming{Structure::kVit, ".attention.v_proj.", ".attention.attention.value."},
    Renaming{Structure::kVit, ".attention.o_proj.", ".attention.output.dense."},
    Renaming{Structure::kVit, ".mlp.fc1.", ".intermediate.dense."},
    Renaming{Structure::kVit, ".mlp.fc2.", ".output.dense."},
    Renaming{Structure::kBert, "LayerNorm.gamma", "LayerNorm.weight"},
    Renaming{Structure::kBert, "LayerNorm.beta", "LayerNorm.bias"},
};

std::string renamed(std::string name, Structure structure) {
  for (const Renaming& rule : kRenamings) {
    const std::size_t place =
        rule.structure == structure ? name.find(rule.from) : std::string::npos;
    if (place != std::string::npos) name.replace(place, rule.from.size(), rule.to);
  }
  return name;
}

bool has_parameter(Model& model, const std::string& name) {
  const auto [owner, leaf] = find_owner(model.root(), name);
  const auto* ours = dynamic_cast<const Module*>(owner);
  return ours && ours->has_parameter(leaf);
}

void need_all(Model& model) {
  std::string missing;
  for (const TensorEntry& entry : walk_parameters(model.root())) {
    if (entry.tensor.is_meta()) missing += (missing.empty() ? "" : ", ") + entry.name;
  }
  if (!missing.empty())
    fail(ErrorKind::kKey, "the checkpoint lacks parameters of the model: {}", missing);
}

}  // namespace

std::string parameter_for(Model& model, std::string_view checkpoint_name) {
  const Structure structure = model.config().family->structure;
  const std::string prefix = model.info().base_prefix + ".";
  for (const std::string& name :
       {std::string(checkpoint_name), renamed(std::string(checkpoint_name), structure)}) {
    if (has_parameter(model, name)) return name;
    if (has_parameter(model, prefix + name)) return prefix + name;
    if (name.starts_with(prefix) && has_parameter(model, name.substr(prefix.size())))
      return name.substr(prefix.size());
  }
  return {};
}

bool is_obsolete(std::string_view name) {
  for (std::string_view ending :
       {".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias",
        "rotary_emb.inv_freq", "embeddings.position_ids"}) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}

at::ScalarType scalar_type(Dtype dtype) {
  const std::string_view name = torch_name(dtype);
  return scalar_type(name);
}

at::ScalarType scalar_type(std::string_view name) {
  struct Row {
    std::string_view name;
    at::ScalarType type;
  };
  static constexpr std::array kTypes{
      Row{"bool", at::kBool},
      Row{"uint8", at::kByte},
      Row{"int8", at::kChar},
      Row{"int16", at::kShort},
      Row{"int32", at::kInt},
      Row{"int64", at::kLong},
      Row{"float16", at::kHalf},
      Row{"bfloat16", at::kBFloat16},
      Row{"float32", at::kFloat},
      Row{"float64", at::kDouble},
      Row{"float8_e4m3fn", at::kFloat8_e4m3fn},
      Row{"float8_e5m2", at::kFloat8_e5m2},
  };
  for (const Row& row : kTypes) {
    if (row.name == name) return row.type;
  }
  fail(ErrorKind::kNotImplemented, "tensors of type '{}' cannot be used in a model", name);
}

at::Tensor mapped_tensor(const StoredTensor& stored) {
  const std::vector<std::int64_t> shape(stored.shape().begin(), stored.shape().end());
  // from_blob takes a mutable pointer; the mapping is read-only and nobody here writes to it.
  void* bytes = const_cast<std::byte*>(stored.view().data());
  return at::from_blob(bytes, shape, at::TensorOptions(scalar_type(stored.dtype())));
}

bool may_stay_small(Model& model, const std::string& parameter, at::ScalarType stored,
                    at::ScalarType dtype) {
  if (!cpu::widens(stored, dtype)) return false;
  const auto [owner, leaf] = find_owner(model.root(), parameter);
  return leaf == "weight" && (dynamic_cast<const Linear*>(owner) != nullptr ||
                              dynamic_cast<const Embedding*>(owner) != nullptr);
}

void load_weights(Model& model, const Checkpoint& checkpoint, at::ScalarType dtype,
                  SmallTypes small) {
  for (const StoredTensor& stored : checkpoint.tensors()) {
    const std::string name = parameter_for(model, stored.name());
    if (name.empty()) {
      if (!is_obsolete(stored.name()))
        log::warn("model", "the model has no parameter for tensor '{}'", stored.name());
      continue;
    }
    const at::Tensor stored_values = mapped_tensor(stored);
    const at::ScalarType type = stored_values.scalar_type();
    const bool stays = !stored_values.is_floating_point() ||
                       (small == SmallTypes::kKeep && may_stay_small(model, name, type, dtype));
    set_parameter(model.root(), name, stored_values.to(stays ? type : dtype, false, true));
    stored.done_with();
  }
  model.tie_weights();
  need_all(model);
}

}  // namespace quanthost::model
