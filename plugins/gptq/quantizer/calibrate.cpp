// Block after block: quantized or taken from the journal, run on for the next one, replaced.
#include "quantizer/calibrate.hpp"

#include "quantizer/blocks.hpp"
#include "quantizer/journal_entry.hpp"
#include "quantizer/quantizer.hpp"
#include "quantizer/report.hpp"

namespace quanthost::gptq {
namespace {

qh_calibration_args arguments(const Options& options) {
  qh_calibration_args args{};
  args.struct_size = sizeof args;
  args.batch_size = static_cast<std::uint32_t>(options.batch_size);
  args.dataset_json = qh::to_abi(options.dataset_json);
  args.tokenizer = qh::to_abi(options.tokenizer);
  args.block_prefix = qh::to_abi(options.block_name);
  args.sample_count = static_cast<std::uint64_t>(options.sample_count);
  args.sequence_length = static_cast<std::uint64_t>(options.model_seqlen.value_or(0));
  args.pad_token_id = options.pad_token_id;
  args.journal_path = qh::to_abi(options.journal);
  return args;
}

class Calibration {
 public:
  Calibration(const qh::Exec& exec, qh_session* session, qh::Model& model, const Options& options,
              KernelPackages& packages)
      : exec_(exec),
        session_(session),
        model_(model),
        options_(options),
        packages_(packages),
        dtypes_(dtypes_of(model)),
        run_(exec.host(), session, model, arguments(options)),
        solver_(exec, run_, model, options, packages.for_device(exec.device_kind())) {
    for (std::uint64_t block = 0; block < run_.block_count(); ++block) {
      names_.push_back(run_.block_name(block));
      layers_.push_back(run_.layers(block));
    }
    check_subset_names(layers_, names_, options);
    if (options.solver.gptaq_alpha) run_.keep_original();
    for (const qh::ModuleDesc& module : model.modules()) modules_.emplace(module.name, module);
  }

  std::vector<LayerReport> run() {
    std::uint64_t total = 0;
    for (std::size_t b = 0; b < names_.size(); ++b)
      for (const LayerSubset& subset : subsets(b)) total += subset.size();
    begin_progress(total);
    for (std::size_t block = 0; block < names_.size(); ++block) {
      exec_.throw_if_cancelled();
      const std::vector<SolvedLayer> solved = solve_or_resume(block);
      // The block runs with dense weights of the quantized values: the same products, and faster.
      run_.advance(exec_, block);
      for (const SolvedLayer& layer : solved) replace(layer);
    }
    if (exec_.host().progress.end) qh::check(exec_.host().progress.end(session_));
    return std::move(reports_);
  }

 private:
  std::vector<LayerSubset> subsets(std::size_t block) const {
    return subsets_of_block(names_[block], layers_[block], options_);
  }

  std::vector<SolvedLayer> solve_or_resume(std::size_t block) {
    const std::string key = "block." + std::to_string(block);
    if (const auto kept = run_.journal_read(exec_, key)) {
      std::vector<SolvedLayer> solved = solved_block(*kept);
      for (const SolvedLayer& layer : solved) {
        write_weight(exec_, model_, module_of(layer), dense_values(layer.packed));
        report(layer.report);
      }
      return solved;
    }
    std::vector<SolvedLayer> solved =
        solver_.solve(block, subsets(block), [this](const LayerReport& layer) { report(layer); });
    run_.journal_write(key, to_bytes(solved));
    return solved;
  }

  const qh::ModuleDesc& module_of(const SolvedLayer& layer) const {
    const auto found = modules_.find(layer.report.name);
    const bool fits = found != modules_.end() && found->second.in_features == layer.packed.inputs &&
                      found->second.out_features == layer.packed.outputs;
    if (!fits)
      throw qh::Error(QH_ERR_VALUE,
                      "the journal holds a layer '" + layer.report.name +
                          "' that the model has not, or has in another size",
                      "give this run a journal of its own");
    return found->second;
  }

  void replace(const SolvedLayer& layer) {
    const qh::ModuleDesc& module = module_of(layer);
    LinearSpec spec = linear_spec(module, dtypes_, options_);
    auto linear = std::make_unique<QuantLinear>(exec_.host(), packages_, spec);
    linear->take(exec_, layer.packed);
    if (module.has_bias) {
      const std::string name = module.name + ".bias";
      const qh::Tensor bias = model_.get_param(name);
      // A copy: the model's own ends with the layer that is replaced.
      qh::Tensor copy = exec_.allocate(bias.view().dtype(), bias.view().shape());
      exec_.copy(bias.abi(), copy.abi());
      linear->set_param(exec_, "bias", std::move(copy));
    }
    model_.replace_module(module.name, std::move(linear));
  }

  void begin_progress(std::uint64_t total) const {
    const qh_progress_api& progress = exec_.host().progress;
    if (progress.begin)
      qh::check(progress.begin(session_, qh::to_abi("calibrate"), qh::to_abi("layers"), total));
  }

  void report(const LayerReport& layer) {
    reports_.push_back(layer);
    exec_.host().info(report_line(layer));
    const qh_progress_api& progress = exec_.host().progress;
    if (progress.update)
      qh::check(progress.update(session_, reports_.size(), qh::to_abi(layer.name)));
  }

  const qh::Exec& exec_;
  qh_session* session_;
  qh::Model& model_;
  const Options& options_;
  KernelPackages& packages_;
  std::map<std::string, qh::Dtype> dtypes_;
  CalibrationRun run_;
  BlockSolver solver_;
  std::vector<std::string> names_;                // of the blocks
  std::vector<std::vector<std::string>> layers_;  // of each
  std::map<std::string, qh::ModuleDesc> modules_;
  std::vector<LayerReport> reports_;
};

}  // namespace

std::string calibrate(const qh::Exec& exec, qh_session* session, qh::Model& model,
                      const Options& options, KernelPackages& packages) {
  return report_text(Calibration(exec, session, model, options, packages).run(), options);
}

}  // namespace quanthost::gptq
