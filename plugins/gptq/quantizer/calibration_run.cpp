// Calls of qh.calibration/1.
#include "quantizer/calibration_run.hpp"

#include "quantizer/host_tensor.hpp"

namespace quanthost::gptq {
namespace {

// The ABI's side of a function that gets the inputs of layers; Original: const qh_tensor* where it
// gets the original model's beside them.
template <class OnInput, class... Original>
struct Receiver {
  const qh::Host& host;
  const OnInput& on_input;

  static qh_status receive(void* arg, qh_str layer, const qh_tensor* input, Original... original,
                           std::uint64_t batch, std::uint64_t samples) {
    const auto& self = *static_cast<const Receiver*>(arg);
    return self.host.guard([&] {
      self.on_input(qh::from_abi(layer), qh::TensorView(*input), original..., batch, samples);
    });
  }
};

}  // namespace

CalibrationRun::CalibrationRun(const qh::Host& host, qh_session* session, const qh::Model& model,
                               const qh_calibration_args& args)
    : host_(host), api_(host.need(host.calibration, QH_CALIBRATION_ID)) {
  qh::check(api_.open(session, model.handle(), &args, &run_));
}

CalibrationRun::~CalibrationRun() { api_.close(run_); }

std::uint64_t CalibrationRun::block_count() const {
  std::uint64_t count = 0;
  qh::check(api_.block_count(run_, &count));
  return count;
}

std::string CalibrationRun::block_name(std::uint64_t block) const {
  std::string name;
  qh::check(api_.block_name(run_, block, qh::text_sink(name)));
  return name;
}

std::vector<std::string> CalibrationRun::layers(std::uint64_t block) const {
  std::vector<std::string> names;
  qh::check(api_.layers(run_, block, qh::string_sink(names)));
  return names;
}

void CalibrationRun::run_block(const qh::Exec& exec, std::uint64_t block,
                               const std::vector<std::string>& layers,
                               const OnInput& on_input) const {
  using Call = Receiver<OnInput>;
  Call call{host_, on_input};
  const qh::StrList names(layers);
  qh::check(api_.run_block(run_, exec.abi(), block, names.abi(), Call::receive, &call));
}

void CalibrationRun::keep_original() {
  original_ = qh::copy_sized(
      static_cast<const qh_original_inputs_api*>(host_.service(QH_ORIGINAL_INPUTS_ID)));
  qh::check(host_.need(original_, QH_ORIGINAL_INPUTS_ID).keep(run_));
}

void CalibrationRun::run_block_beside_original(const qh::Exec& exec, std::uint64_t block,
                                               const std::vector<std::string>& layers,
                                               const OnInputs& on_inputs) const {
  using Call = Receiver<OnInputs, const qh_tensor*>;
  Call call{host_, on_inputs};
  const qh::StrList names(layers);
  qh::check(original_.run_block(run_, exec.abi(), block, names.abi(), Call::receive, &call));
}

void CalibrationRun::advance(const qh::Exec& exec, std::uint64_t block) const {
  qh::check(api_.advance(run_, exec.abi(), block));
}

void CalibrationRun::journal_write(const std::string& key,
                                   const std::vector<std::uint8_t>& bytes) const {
  std::vector<std::int64_t> shape{static_cast<std::int64_t>(bytes.size())};
  const qh_tensor view = host_view(const_cast<std::uint8_t*>(bytes.data()), qh::kUint8, shape);
  qh::check(api_.journal_write(run_, qh::to_abi(key), &view));
}

std::optional<std::vector<std::uint8_t>> CalibrationRun::journal_read(
    const qh::Exec& exec, const std::string& key) const {
  qh::Tensor found;
  qh::check(api_.journal_read(run_, exec.abi(), qh::to_abi(key),
                              {&found, [](void* ctx, qh_str, qh_managed_tensor* t) -> qh_status {
                                 static_cast<qh::Tensor*>(ctx)->reset(t);
                                 return QH_OK;
                               }}));
  if (!found) return std::nullopt;
  return to_host<std::uint8_t>(exec, *found.abi(), qh::kUint8);
}

}  // namespace quanthost::gptq
