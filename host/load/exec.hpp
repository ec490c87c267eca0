// Where and how calls into plugins do their work on one device: the host's threads, its allocator,
// its stream.
#pragma once

#include <ATen/core/Tensor.h>
#include <quanthost/abi/tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "host/devices/device.hpp"
#include "host/load/cancel.hpp"

namespace quanthost {

class Exec {
 public:
  using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

  // `cancel` may be null; otherwise it outlives this object.
  Exec(std::string device, const CancelToken* cancel);
  Exec(const Exec&) = delete;
  Exec& operator=(const Exec&) = delete;

  const qh_exec* abi() const { return &abi_; }
  const std::string& device() const { return device_; }
  at::Device memory() const { return memory_; }
  const CancelToken* cancel() const { return cancel_; }

  // Uninitialized, contiguous, in the device's own memory. Throws kMemory, saying how much was
  // asked for.
  at::Tensor empty(at::IntArrayRef shape, at::ScalarType type) const;
  // The value in the device's memory: itself when it lies there already, else a contiguous copy,
  // queued on the stream.
  at::Tensor take(const at::Tensor& value) const;
  void synchronize() const;  // waits for the stream
  // What a call into a plugin reports through qh_exec.progress. Not while a call runs.
  void set_progress(Progress progress) { progress_ = std::move(progress); }
  // As qh_exec.progress, for work of the host's own.
  void report_progress(std::uint64_t done, std::uint64_t total) const {
    if (progress_) progress_(done, total);
  }

 private:
  bool has_own_memory() const;  // host memory that is the device's alone, as the emulator's
  static std::int32_t allocate(void* ctx, std::uint64_t bytes, void** out);
  static void release(void* ctx, void* memory);
  static std::int32_t run_parallel(void* ctx, std::int64_t count, std::int64_t grain,
                                   qh_range_fn body, void* arg);
  static std::int32_t is_cancelled(void* ctx);
  static void report(void* ctx, std::uint64_t done, std::uint64_t total);

  std::string device_;
  Device& compute_;
  at::Device memory_;
  const CancelToken* cancel_;
  Progress progress_;
  qh_exec abi_{};
};

// The Exec that a plugin handed back.
inline Exec& exec_from_abi(const qh_exec* exec) { return *static_cast<Exec*>(exec->ctx); }

// One Exec for each device, made when first asked for. Any thread.
class Execs {
 public:
  explicit Execs(const CancelToken* cancel) : cancel_(cancel) {}
  std::shared_ptr<Exec> on(const std::string& device);

 private:
  const CancelToken* cancel_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Exec>> by_device_;
};

// Splits [0, count) over LibTorch's threads and returns the first failure; its error is left on the
// calling thread.
qh_status parallel_ranges(std::int64_t count, std::int64_t grain, qh_range_fn body, void* arg);

}  // namespace quanthost
