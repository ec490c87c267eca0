#include "host/load/exec.hpp"

#include <ATen/Parallel.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>

#include "host/base/call_error.hpp"
#include "host/load/devices.hpp"

namespace quanthost {
namespace {

void* native_stream(at::Device device) {
  if (device.is_cpu()) return nullptr;
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device).native_handle();
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
  at::parallel_for(0, count, std::max<std::int64_t>(grain, 1),
                   [&](std::int64_t begin, std::int64_t end) {
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
    : device_(std::move(device)), memory_(memory_device(device_)), cancel_(cancel) {
  abi_ = {sizeof(qh_exec),
          static_cast<std::uint32_t>(at::get_num_threads()),
          {device_.data(), device_.size()},
          to_qh(memory_),
          native_stream(memory_),
          this,
          allocate,
          release,
          run_parallel,
          is_cancelled,
          report};
}

std::int32_t Exec::allocate(void* ctx, std::uint64_t bytes, void** out) {
  return guard_call([&] {
    const auto& exec = *static_cast<Exec*>(ctx);
    const c10::impl::VirtualGuardImpl device(exec.memory_.type());
    const at::Device before =
        exec.memory_.is_cpu() ? exec.memory_ : device.exchangeDevice(exec.memory_);
    *out = c10::GetAllocator(exec.memory_.type())->raw_allocate(bytes);
    if (!exec.memory_.is_cpu()) device.uncheckedSetDevice(before);
  });
}

void Exec::release(void* ctx, void* memory) {
  c10::GetAllocator(static_cast<Exec*>(ctx)->memory_.type())->raw_deallocate(memory);
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
