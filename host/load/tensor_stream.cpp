#include "host/load/tensor_stream.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <omp.h>

#include <algorithm>

#include "host/load/host_memory.hpp"
#include "host/load/tensor_bridge.hpp"

namespace quanthost {
namespace {

std::int64_t rows_of(const StoredTensor& stored) {
  return stored.shape().empty() ? 1 : stored.shape()[0];
}

constexpr std::int64_t kConvertedAtOnce = std::int64_t{1} << 19;  // elements; fits the caches

std::vector<std::int64_t> shape_of(const ReadJob& job) {
  std::vector<std::int64_t> shape = job.stored->shape();
  if (!shape.empty()) shape[0] = job.row_count;
  return shape;
}

std::uint64_t offset_of(const ReadJob& job) {
  const auto rows = static_cast<std::uint64_t>(rows_of(*job.stored));
  return rows == 0 ? 0 : job.stored->bytes() / rows * static_cast<std::uint64_t>(job.row_begin);
}

void read_into(const ReadJob& job, const at::Tensor& out, std::uint64_t offset) {
  job.stored->read({static_cast<std::byte*>(out.mutable_data_ptr()), out.nbytes()},
                   offset_of(job) + offset);
}

// Small tensors are LibTorch's.
bool passes_through(const ReadJob& job) { return job.passes && job.bytes() >= kLargeTensorBytes; }

// Room for a few jobs, so that some are read while one is used.
std::uint64_t buffer_bytes(const std::vector<ReadJob>& jobs, const StreamLimits& limits) {
  constexpr std::uint64_t kAtLeast = std::uint64_t{128} << 20;
  std::uint64_t largest = 0, all = 0;
  for (const ReadJob& job : jobs) {
    if (!passes_through(job)) continue;
    largest = std::max(largest, job.bytes());
    all += job.bytes();
  }
  return std::min({all, std::max(limits.queue_bytes, largest), std::max(kAtLeast, 3 * largest)});
}

void read_converted(const ReadJob& job, at::ScalarType stored, const at::Tensor& value) {
  const at::Tensor flat = value.view({-1});
  const at::Tensor buffer = at::empty({std::min(kConvertedAtOnce, flat.numel())}, stored);
  for (std::int64_t begin = 0; begin < flat.numel(); begin += kConvertedAtOnce) {
    const at::Tensor part = buffer.narrow(0, 0, std::min(kConvertedAtOnce, flat.numel() - begin));
    read_into(job, part, static_cast<std::uint64_t>(begin) * c10::elementSize(stored));
    flat.narrow(0, begin, part.numel()).copy_(part);
  }
}

at::Tensor read_job(const ReadJob& job, std::shared_ptr<void> memory) {
  const at::ScalarType stored = to_scalar_type(job.stored->dtype());
  const at::ScalarType type = job.cast.value_or(stored);
  at::Tensor value = memory ? tensor_in(std::move(memory), shape_of(job), type)
                            : empty_host_tensor(shape_of(job), type);
  if (type == stored)
    read_into(job, value, 0);
  else
    read_converted(job, stored, value);
  return value;
}

}  // namespace

bool ReadJob::whole() const { return row_begin == 0 && row_count == rows_of(*stored); }

std::uint64_t ReadJob::stored_bytes() const {
  const auto rows = static_cast<std::uint64_t>(rows_of(*stored));
  return rows == 0 ? 0 : stored->bytes() / rows * static_cast<std::uint64_t>(row_count);
}

std::uint64_t ReadJob::bytes() const {
  if (!cast) return stored_bytes();
  return stored_bytes() / c10::elementSize(to_scalar_type(stored->dtype())) *
         c10::elementSize(*cast);
}

ReadJob whole_tensor(const StoredTensor& stored, std::size_t tag,
                     std::optional<at::ScalarType> cast) {
  return {&stored, 0, rows_of(stored), tag, cast};
}

std::vector<ReadJob> row_slices(const StoredTensor& stored, std::int64_t granularity,
                                std::uint64_t slice_bytes, std::size_t tag,
                                std::optional<at::ScalarType> cast) {
  const std::int64_t rows = rows_of(stored);
  if (granularity <= 0 || stored.bytes() <= slice_bytes || rows <= granularity)
    return {whole_tensor(stored, tag, cast)};
  const std::uint64_t row_bytes = stored.bytes() / static_cast<std::uint64_t>(rows);
  const auto fitting =
      static_cast<std::int64_t>(slice_bytes / std::max<std::uint64_t>(row_bytes, 1));
  const std::int64_t step = std::max<std::int64_t>(fitting / granularity, 1) * granularity;
  std::vector<ReadJob> jobs;
  for (std::int64_t begin = 0; begin < rows; begin += step) {
    jobs.push_back({&stored, begin, std::min(step, rows - begin), tag, cast});
  }
  return jobs;
}

TensorStream::TensorStream(std::vector<ReadJob> jobs, StreamLimits limits,
                           const CancelToken* cancel, Trace* trace)
    : jobs_(std::move(jobs)),
      limits_(limits),
      cancel_(cancel),
      trace_(trace),
      buffers_(buffer_bytes(jobs_, limits_)),
      slots_(jobs_.size()) {
  const std::size_t count = std::min<std::size_t>(std::max(1u, limits_.readers), jobs_.size());
  for (std::size_t i = 0; i < count; ++i) readers_.emplace_back([this] { read_jobs(); });
}

TensorStream::~TensorStream() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& reader : readers_) reader.join();
}

std::uint64_t TensorStream::largest_bytes() const {
  std::uint64_t largest = 0;
  for (const ReadJob& job : jobs_) largest = std::max(largest, job.bytes());
  return largest;
}

// Called with the lock. Memory that is read into again is waited for as long as anything is in
// flight, whose consumption may free it.
bool TensorStream::fits(const ReadJob& job, std::shared_ptr<void>& memory) {
  const std::uint64_t bytes = job.bytes();
  if (in_flight_ > 0 && in_flight_ + bytes > limits_.queue_bytes) return false;
  if (!passes_through(job) || bytes > buffers_.bytes()) return true;
  memory = buffers_.take(bytes);
  return memory || in_flight_ == 0;
}

std::optional<TensorStream::Claim> TensorStream::claim() {
  std::unique_lock lock(mutex_);
  std::shared_ptr<void> memory;
  changed_.wait(lock, [&] {
    return stopping_ || next_read_ == jobs_.size() || fits(jobs_[next_read_], memory);
  });
  if (stopping_ || next_read_ == jobs_.size() || (cancel_ && cancel_->cancelled()))
    return std::nullopt;
  in_flight_ += jobs_[next_read_].bytes();
  peak_bytes_ = std::max(peak_bytes_, in_flight_);
  return Claim{next_read_++, std::move(memory)};
}

void TensorStream::read_jobs() {
  const c10::NoGradGuard no_gradients;
  at::get_num_threads();   // LibTorch sets up a thread at its first question, so ask before
  omp_set_num_threads(1);  // of this thread alone: the readers are the parallelism
  while (auto claimed = claim()) {
    Slot result;
    const ReadJob& job = jobs_[claimed->index];
    try {
      const Trace::Span span(trace_, "tensor", "read",
                             {{"name", job.stored->name()},
                              {"bytes", job.stored_bytes()},
                              {"converted", job.cast.has_value()}});
      if (job.row_begin == 0) job.stored->will_need();  // cold files come in larger reads
      result.value = read_job(job, std::move(claimed->memory));
    } catch (const Error& e) {
      result.error =
          std::make_exception_ptr(e.within(fmt::format("tensor {}", job.stored->name())));
    } catch (...) {
      result.error = std::current_exception();
    }
    result.ready = true;
    {
      std::lock_guard lock(mutex_);
      slots_[claimed->index] = std::move(result);
    }
    changed_.notify_all();
  }
  changed_.notify_all();  // a cancelled reader leaves: the consumer looks again
}

std::optional<TensorStream::Item> TensorStream::next() {
  std::unique_lock lock(mutex_);
  in_flight_ -= std::exchange(held_, 0);
  changed_.notify_all();
  if (next_item_ == jobs_.size()) return std::nullopt;
  Slot& slot = slots_[next_item_];
  changed_.wait(lock, [&] { return slot.ready || (cancel_ && cancel_->cancelled()); });
  if (cancel_) cancel_->check();
  if (slot.error) std::rethrow_exception(slot.error);
  const ReadJob& job = jobs_[next_item_++];
  held_ = job.bytes();
  return Item{job, std::move(slot.value)};
}

}  // namespace quanthost
