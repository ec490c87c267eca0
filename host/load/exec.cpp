#include "host/load/exec.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>

#include "host/base/call_error.hpp"
#include "host/base/log.hpp"
#include "host/load/devices.hpp"
#include "host/load/host_memory.hpp"

namespace quanthost {
namespace {

// LibTorch's current stream where it has streams, so that its work and the plugins' stay in order.
void* native_stream(const Device& device, at::Device memory) {
  if (memory.is_cpu()) return device.default_stream();
  return c10::impl::VirtualGuardImpl(memory.type()).getStream(memory).native_handle();
}

// What lies behind a tensor in a device's own memory.
struct OwnMemory {
  Device& device;
  void* stream;
  void* data;
};

void release_own_memory(void* context) {
  const std::unique_ptr<OwnMemory> memory(static_cast<OwnMemory*>(context));
  memory->device.release(memory->data, memory->stream);
}

bool lies_on(const Device& device, const at::Tensor& tensor) {
  const at::DataPtr& data = tensor.storage().data_ptr();
  return data.get_deleter() == release_own_memory &&
         &static_cast<const OwnMemory*>(data.get_context())->device == &device;
}

qh_device to_qh(at::Device device) {
  if (device.is_cuda()) return {QH_DEVICE_CUDA, device.index()};
  return {QH_DEVICE_CPU, 0};
}

}  // namespace

qh_status parallel_ranges(std::int64_t count, std::int64_t grain, qh_range_fn body, void* arg) {
  if (count <= 0) return QH_OK;
  std::mutex mutex;
  std::optional<Error> first;  // a worker's error has to reach the thread that asked
  std::int64_t first_begin = 0;
  const log::Destination* destination = log::destination();
  at::parallel_for(0, count, std::max<std::int64_t>(grain, 1),
                   [&](std::int64_t begin, std::int64_t end) {
                     const log::Scope logging(destination);
                     const qh_status status = body(arg, begin, end);
                     if (status == QH_OK) return;
                     Error error = take_call_error(status);
                     std::lock_guard lock(mutex);
                     if (first && first_begin < begin) return;
                     first.emplace(std::move(error));
                     first_begin = begin;
                   });
  if (!first) return QH_OK;
  leave_call_error(first->kind(), first->message(), first->hint());
  return static_cast<qh_status>(first->kind());
}

Exec::Exec(std::string device, const CancelToken* cancel)
    : device_(std::move(device)),
      compute_(compute_device(device_)),
      memory_(memory_device(device_)),
      cancel_(cancel) {
  abi_ = {sizeof(qh_exec),
          static_cast<std::uint32_t>(at::get_num_threads()),
          {device_.data(), device_.size()},
          to_qh(memory_),
          native_stream(compute_, memory_),
          this,
          allocate,
          release,
          run_parallel,
          is_cancelled,
          report};
}

bool Exec::has_own_memory() const { return memory_.is_cpu() && device_ != "cpu"; }

at::Tensor Exec::empty(at::IntArrayRef shape, at::ScalarType type) const {
  const auto options = at::TensorOptions().dtype(type).device(memory_);
  if (!memory_.is_cpu()) return at::empty(shape, options);
  if (!has_own_memory()) return empty_host_tensor(shape, type);
  const std::size_t bytes =
      static_cast<std::size_t>(c10::multiply_integers(shape)) * c10::elementSize(type);
  auto memory = std::make_unique<OwnMemory>(
      OwnMemory{compute_, abi_.stream, compute_.allocate(bytes, abi_.stream)});
  void* const data = memory->data;
  return at::for_blob(data, shape)
      .context(memory.release(), release_own_memory)
      .options(options)
      .make_tensor();
}

at::Tensor Exec::take(const at::Tensor& value) const {
  if (!has_own_memory()) return value.to(memory_, /*non_blocking=*/true);
  if (lies_on(compute_, value)) return value;
  const at::Tensor source = value.contiguous();
  at::Tensor copy = empty(source.sizes(), source.scalar_type());
  compute_.copy(CopyKind::kToDevice, copy.mutable_data_ptr(), source.const_data_ptr(),
                source.nbytes(), abi_.stream);
  return copy;
}

void Exec::synchronize() const { compute_.wait_for_stream(abi_.stream); }

std::int32_t Exec::allocate(void* ctx, std::uint64_t bytes, void** out) {
  return guard_call([&] {
    const auto& exec = *static_cast<Exec*>(ctx);
    *out = exec.compute_.allocate(bytes, exec.abi_.stream);
  });
}

void Exec::release(void* ctx, void* memory) {
  const auto& exec = *static_cast<Exec*>(ctx);
  exec.compute_.release(memory, exec.abi_.stream);
}

std::int32_t Exec::run_parallel(void*, std::int64_t count, std::int64_t grain, qh_range_fn body,
                                void* arg) {
  return parallel_ranges(count, grain, body, arg);
}

std::int32_t Exec::is_cancelled(void* ctx) {
  const auto& exec = *static_cast<Exec*>(ctx);
  return exec.cancel_ && exec.cancel_->cancelled();
}

void Exec::report(void* ctx, std::uint64_t done, std::uint64_t total) {
  static_cast<Exec*>(ctx)->report_progress(done, total);
}

std::shared_ptr<Exec> Execs::on(const std::string& device) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<Exec>& exec = by_device_[device];
  if (!exec) exec = std::make_shared<Exec>(device, cancel_);
  return exec;
}

}  // namespace quanthost
