// One block through GPTQ: its layers subset after subset, each with the inputs that the ones before
// leave it.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "algorithm/solver.hpp"
#include "quantizer/calibration_run.hpp"
#include "quantizer/input_drift.hpp"
#include "quantizer/input_groups.hpp"
#include "quantizer/input_hessian.hpp"
#include "quantizer/kernel_packages.hpp"
#include "quantizer/options.hpp"
#include "quantizer/packed_layer.hpp"

namespace quanthost::gptq {

// A line of the report.
struct LayerReport {
  std::string name;
  int bits = 0;
  std::int64_t group_size = 0;
  double loss = 0;       // the solver's: the summed weighted squared error
  double error = 0;      // of the layer's outputs, squared, relative to the outputs
  double rtn_error = 0;  // the same with rounding to nearest
  double seconds = 0;
  double damp_percent = 0;  // what the factorization took
  std::int64_t samples = 0;
  std::uint64_t bytes_before = 0, bytes_after = 0;
};

struct SolvedLayer {
  LayerReport report;
  PackedLayer packed;
};

// The dense weight of a layer as [outputs, inputs], and back in its own type and layout.
std::vector<float> read_weight(const qh::Exec&, const qh::Model&, const qh::ModuleDesc&);
void write_weight(const qh::Exec&, const qh::Model&, const qh::ModuleDesc&,
                  const std::vector<float>& values);

class BlockSolver {
 public:
  // `package` is that of exec's device.
  BlockSolver(const qh::Exec&, const CalibrationRun&, const qh::Model&, const Options&,
              const KernelPackage& package);

  // In the order in which they were solved. The model's weights are replaced by the values that the
  // quantized layers stand for. `on_layer` is called after each.
  std::vector<SolvedLayer> solve(std::uint64_t block, const std::vector<LayerSubset>& subsets,
                                 const std::function<void(const LayerReport&)>& on_layer);

 private:
  struct InputSums {  // of a group
    InputHessian hessian;
    InputDrift drift;  // with GPTAQ alone
  };
  using Sums = std::vector<std::unique_ptr<InputSums>>;

  const InputGroups& groups_of_block(std::uint64_t block, const std::vector<LayerSubset>& subsets);
  InputGroups groups_of_subset(const InputGroups& all, const LayerSubset& subset,
                               const std::set<std::string>& done) const;
  bool collect(std::uint64_t block, const InputGroups& groups, Sums& sums) const;
  void run_block(std::uint64_t block, const std::vector<std::string>& layers,
                 const CalibrationRun::OnInputs& on_inputs) const;
  std::vector<SolvedLayer> solve_group(const std::vector<std::string>& layers,
                                       const InputSums& sums) const;
  SolvedLayer solve_layer(const qh::ModuleDesc& module, const InputHessian& hessian,
                          const PreparedHessian& prepared) const;

  const qh::Exec& exec_;
  const CalibrationRun& run_;
  const qh::Model& model_;
  const Options& options_;
  const KernelPackage& package_;
  ParallelFor parallel_for_;
  std::map<std::string, qh::ModuleDesc> modules_;
  // Found at the first block of a kind; names within the block.
  std::map<std::vector<std::string>, InputGroups> known_groups_;
  InputGroups groups_;
};

}  // namespace quanthost::gptq
