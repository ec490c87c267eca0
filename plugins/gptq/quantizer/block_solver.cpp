// Hessians of a block's layers, the solver on each, and the weights that come of it.
#include "quantizer/block_solver.hpp"

#include <algorithm>
#include <chrono>

#include "algorithm/round_to_nearest.hpp"
#include "quantizer/device_sweep.hpp"
#include "quantizer/host_tensor.hpp"

namespace quanthost::gptq {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

std::vector<std::string> flat(const std::vector<std::vector<std::string>>& lists) {
  std::vector<std::string> out;
  for (const auto& list : lists) out.insert(out.end(), list.begin(), list.end());
  return out;
}

std::vector<float> difference(std::vector<float> a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

std::uint64_t packed_bytes(const PackedLayer& p) {
  return 4 * (p.qweight.size() + p.qzeros.size() + p.g_idx.size()) + 2 * p.scales.size();
}

void need_finite_scales(const PackedLayer& packed, const std::string& name) {
  for (const cpu::Float16 scale : packed.scales)
    if ((scale.bits & 0x7c00u) == 0x7c00u)
      throw qh::Error(QH_ERR_VALUE,
                      name + ": a scale is too large for float16, which checkpoints store it in",
                      "the weights of this layer are far out of range: is the checkpoint damaged?");
}

}  // namespace

std::vector<float> read_weight(const qh::Exec& exec, const qh::Model& model,
                               const qh::ModuleDesc& module) {
  const qh::Tensor weight = model.get_param(module.name + ".weight");
  if (module.class_name != "Conv1D") return to_host<float>(exec, *weight.abi(), qh::kFloat32);
  const qh::Tensor turned = transposed(exec, *weight.abi(), qh::kFloat32);
  return to_host<float>(exec, *turned.abi(), qh::kFloat32);
}

void write_weight(const qh::Exec& exec, const qh::Model& model, const qh::ModuleDesc& module,
                  const std::vector<float>& values) {
  const std::string name = module.name + ".weight";
  const qh::Dtype dtype = model.get_param(name).view().dtype();
  qh::Tensor dense =
      from_host(exec, qh::kFloat32, {module.out_features, module.in_features}, values.data());
  model.set_param(name, module.class_name == "Conv1D" ? transposed(exec, *dense.abi(), dtype)
                                                      : exec.converted(std::move(dense), dtype));
}

BlockSolver::BlockSolver(const qh::Exec& exec, const CalibrationRun& run, const qh::Model& model,
                         const Options& options, const KernelPackage& package)
    : exec_(exec), run_(run), model_(model), options_(options), package_(package) {
  parallel_for_ = [this](std::int64_t count, const RangeBody& body) {
    exec_.parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) { body(begin, end); });
  };
  for (qh::ModuleDesc& module : model.modules()) modules_.emplace(module.name, std::move(module));
}

std::vector<SolvedLayer> BlockSolver::solve(
    std::uint64_t block, const std::vector<LayerSubset>& subsets,
    const std::function<void(const LayerReport&)>& on_layer) {
  std::vector<SolvedLayer> solved;
  std::set<std::string> done;
  for (const LayerSubset& subset : subsets) {
    exec_.throw_if_cancelled();
    const auto began = Clock::now();
    InputGroups groups = groups_of_subset(groups_of_block(block, subsets), subset, done);
    if (groups.empty()) continue;
    Sums sums;
    if (!collect(block, groups, sums)) {
      // The layers' inputs are not what they were in the first block of this kind.
      known_groups_.clear();
      groups = groups_of_subset(groups_of_block(block, subsets), subset, done);
      collect(block, groups, sums);
    }
    const double share = seconds_since(began) / static_cast<double>(flat(groups).size());
    for (std::size_t g = 0; g < groups.size(); ++g) {
      for (SolvedLayer& layer : solve_group(groups[g], *sums[g])) {
        layer.report.seconds += share;
        done.insert(layer.report.name);
        on_layer(layer.report);
        solved.push_back(std::move(layer));
      }
      sums[g].reset();
    }
  }
  return solved;
}

// Blocks of the same layers are wired alike, so that only the first of them is run to find out.
const InputGroups& BlockSolver::groups_of_block(std::uint64_t block,
                                                const std::vector<LayerSubset>& subsets) {
  const std::string prefix = run_.block_name(block) + ".";
  const std::vector<std::string> layers = flat(subsets);
  std::vector<std::string> kind;
  kind.reserve(layers.size());
  for (const std::string& layer : layers) kind.push_back(layer.substr(prefix.size()));
  auto known = known_groups_.find(kind);
  if (known == known_groups_.end()) {
    InputGroups found = find_input_groups(exec_, run_, block, layers);
    for (auto& group : found)
      for (std::string& name : group) name = name.substr(prefix.size());
    known = known_groups_.emplace(std::move(kind), std::move(found)).first;
  }
  groups_ = known->second;
  for (auto& group : groups_)
    for (std::string& name : group) name.insert(0, prefix);
  return groups_;
}

// The groups that a subset's layers are in. A layer of a later subset that has the same input is
// solved along: nothing that lies between the two can change what both are given.
InputGroups BlockSolver::groups_of_subset(const InputGroups& all, const LayerSubset& subset,
                                          const std::set<std::string>& done) const {
  InputGroups groups;
  for (const auto& group : all) {
    const auto is_wanted = [&](const std::string& layer) {
      return !done.count(layer) && std::find(subset.begin(), subset.end(), layer) != subset.end();
    };
    if (std::none_of(group.begin(), group.end(), is_wanted)) continue;
    auto& pending = groups.emplace_back();
    std::copy_if(group.begin(), group.end(), std::back_inserter(pending),
                 [&](const std::string& layer) { return !done.count(layer); });
  }
  return groups;
}

void BlockSolver::run_block(std::uint64_t block, const std::vector<std::string>& layers,
                            const CalibrationRun::OnInputs& on_inputs) const {
  if (options_.solver.gptaq_alpha)
    return run_.run_block_beside_original(exec_, block, layers, on_inputs);
  run_.run_block(exec_, block, layers,
                 [&](std::string_view layer, qh::TensorView input, std::uint64_t batch,
                     std::uint64_t samples) { on_inputs(layer, input, nullptr, batch, samples); });
}

// Runs the block and sums up each group's inputs; false where layers of one group were given
// different ones after all.
bool BlockSolver::collect(std::uint64_t block, const InputGroups& groups, Sums& sums) const {
  struct Last {
    std::uint64_t batch = UINT64_MAX, content = 0;
  };
  std::map<std::string, std::size_t, std::less<>> group_of;
  std::vector<Last> last(groups.size());
  sums.clear();
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const std::string& layer : groups[g]) group_of.emplace(layer, g);
    const std::int64_t columns = modules_.at(groups[g].front()).in_features;
    sums.push_back(std::make_unique<InputSums>(
        InputSums{InputHessian(exec_, package_, columns), InputDrift(columns)}));
  }
  bool agree = true;
  run_block(block, flat(groups),
            [&](std::string_view layer, qh::TensorView input, const qh_tensor* original,
                std::uint64_t batch, std::uint64_t samples) {
              const std::size_t g = group_of.find(layer)->second;
              const bool shared = groups[g].size() > 1;
              const std::uint64_t content = shared ? content_hash(exec_, input) : 0;
              if (shared && layer != groups[g].front()) {
                agree = agree && last[g].batch == batch && last[g].content == content;
                return;
              }
              last[g] = {batch, content};
              sums[g]->hessian.add(exec_, input, samples);
              if (options_.solver.gptaq_alpha) sums[g]->drift.add(exec_, input, original, samples);
            });
  return agree;
}

std::vector<SolvedLayer> BlockSolver::solve_group(const std::vector<std::string>& layers,
                                                  const InputSums& sums) const {
  const auto began = Clock::now();
  const InputHessian& hessian = sums.hessian;
  if (hessian.samples() == 0)
    exec_.host().warn(layers.front() +
                      ": no calibration sample reached this layer; it is rounded to nearest");
  std::vector<SolvedLayer> solved;
  PreparedHessian prepared;
  try {
    prepared = prepare(hessian.for_solver(exec_), options_.solver, parallel_for_,
                       sums.drift.matrix(exec_));
  } catch (const qh::Error& error) {
    throw qh::Error(error.kind(), layers.front() + ": " + error.message(), error.hint());
  }
  const double share = seconds_since(began) / static_cast<double>(layers.size());
  for (const std::string& layer : layers) {
    exec_.throw_if_cancelled();
    solved.push_back(solve_layer(modules_.at(layer), hessian, prepared));
    solved.back().report.seconds += share;
  }
  return solved;
}

SolvedLayer BlockSolver::solve_layer(const qh::ModuleDesc& module, const InputHessian& hessian,
                                     const PreparedHessian& prepared) const {
  const auto began = Clock::now();
  const SolverOptions& options = options_.solver;
  const std::vector<float> weight = read_weight(exec_, model_, module);
  SolvedLayer out;
  try {
    const QuantizedLayer layer =
        can_sweep(package_) && prepared.correction.empty()
            ? quantize_on_device(exec_, package_, weight, module.out_features, prepared, options)
            : quantize_layer(weight, module.out_features, prepared, options, parallel_for_);
    out.report.loss = layer.loss;
    out.packed = pack_layer(layer, options.grid.bits);
  } catch (const qh::Error& error) {
    throw qh::Error(error.kind(), module.name + ": " + error.message(), error.hint());
  }
  need_finite_scales(out.packed, module.name);
  const std::vector<float> values = dense_values(out.packed);
  const std::vector<float> nearest =
      round_to_nearest(weight, module.out_features, module.in_features, options, parallel_for_);
  const double energy = hessian.output_energy(exec_, weight);
  const auto relative = [&](const std::vector<float>& quantized) {
    const double missed = hessian.output_energy(exec_, difference(weight, quantized));
    return energy > 0 ? missed / energy : 0.0;
  };
  out.report.error = relative(values);
  out.report.rtn_error = relative(nearest);
  const qh::Tensor dense = model_.get_param(module.name + ".weight");
  out.report.bytes_before = dense.view().bytes();
  write_weight(exec_, model_, module, values);
  out.report.name = module.name;
  out.report.bits = options.grid.bits;
  out.report.group_size = options.group_size;
  out.report.damp_percent = decimal(prepared.damp_percent);
  out.report.samples = hessian.samples();
  out.report.bytes_after = packed_bytes(out.packed);
  out.report.seconds = seconds_since(began);
  return out;
}

}  // namespace quanthost::gptq
