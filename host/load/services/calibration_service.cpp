// qh.calibration/1: the package `optimum` of the host, block-wise calibration.
#include "host/load/abi_strings.hpp"
#include "host/load/calibration/calibration_run.hpp"
#include "host/load/services/services.hpp"

namespace quanthost::services {
namespace {

CalibrationOptions options_of(const qh_calibration_args* given) {
  const qh_calibration_args args = copy_sized(given);
  CalibrationOptions options;
  options.data.dataset = from_abi(args.dataset_json);
  options.data.sample_count = args.sample_count;
  options.data.sequence_length = args.sequence_length;
  options.data.batch_size = args.batch_size;
  options.data.pad_token_id = args.pad_token_id;
  options.tokenizer = from_abi(args.tokenizer);
  options.block_prefix = from_abi(args.block_prefix);
  options.journal = from_abi(args.journal_path);
  return options;
}

CalibrationRun& run_of(qh_calibration* run) { return CalibrationRun::from_abi(run); }

qh_status open(qh_session* session, qh_model* model, const qh_calibration_args* args,
               qh_calibration** out) {
  return guard_call([&] {
    auto run = std::make_unique<CalibrationRun>(Session::from_abi(session),
                                                ModelContext::from_abi(model), options_of(args));
    *out = run.release()->abi();
  });
}

void close(qh_calibration* run) { delete &run_of(run); }

qh_status block_count(qh_calibration* run, std::uint64_t* out) {
  return guard_call([&] { *out = run_of(run).block_count(); });
}

qh_status block_name(qh_calibration* run, std::uint64_t block, qh_str_sink out) {
  return guard_call([&] {
    run_of(run).layers(block);  // there is such a block
    const std::string name = run_of(run).block_name(block);
    check_call(out.emit(out.ctx, to_abi(name)));
  });
}

qh_status layers(qh_calibration* run, std::uint64_t block, qh_str_sink out) {
  return guard_call([&] {
    for (const std::string& name : run_of(run).layers(block))
      check_call(out.emit(out.ctx, to_abi(name)));
  });
}

qh_status run_block(qh_calibration* run, const qh_exec* exec, std::uint64_t block,
                    qh_str_list chosen, qh_layer_input_fn on_input, void* arg) {
  return guard_call([&] {
    run_of(run).run_block(exec_from_abi(exec), block, to_strings(chosen),
                          [&](const std::string& layer, const at::Tensor& input, std::size_t batch,
                              std::size_t samples) {
                            const qh_tensor view = view_of(input);
                            check_call(on_input(arg, to_abi(layer), &view, batch, samples));
                          });
  });
}

qh_status advance(qh_calibration* run, const qh_exec* exec, std::uint64_t block) {
  return guard_call([&] { run_of(run).advance(exec_from_abi(exec), block); });
}

qh_status journal_write(qh_calibration* run, qh_str key, const qh_tensor* value) {
  return guard_call([&] {
    if (Journal* journal = run_of(run).journal())
      journal->write(std::string(from_abi(key)), alias(*value));
  });
}

qh_status journal_read(qh_calibration* run, const qh_exec* exec, qh_str key, qh_tensor_sink out) {
  return guard_call([&] {
    Journal* journal = run_of(run).journal();
    if (!journal) return;
    auto value = journal->read(std::string(from_abi(key)));
    if (!value) return;
    check_call(out.emit(out.ctx, key, export_tensor(value->to(exec_from_abi(exec).memory()))));
  });
}

}  // namespace

const qh_calibration_api& calibration() {
  static const qh_calibration_api table{sizeof(qh_calibration_api),
                                        0,
                                        open,
                                        close,
                                        block_count,
                                        block_name,
                                        layers,
                                        run_block,
                                        advance,
                                        journal_write,
                                        journal_read};
  return table;
}

}  // namespace quanthost::services
