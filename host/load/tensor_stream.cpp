#include "host/load/tensor_stream.hpp"

#include <algorithm>

#include "host/load/host_memory.hpp"
#include "host/load/tensor_bridge.hpp"

namespace quanthost {
namespace {

std::int64_t rows_of(const StoredTensor& stored) {
  return stored.shape().empty() ? 1 : stored.shape()[0];
}

at::Tensor read_job(const ReadJob& job) {
  const StoredTensor& stored = *job.stored;
  std::vector<std::int64_t> shape = stored.shape();
  if (!shape.empty()) shape[0] = job.row_count;
  at::Tensor value = empty_host_tensor(shape, to_scalar_type(stored.dtype()));
  const std::uint64_t row_bytes =
      job.row_count > 0 ? value.nbytes() / static_cast<std::uint64_t>(job.row_count) : 0;
  stored.read({static_cast<std::byte*>(value.data_ptr()), value.nbytes()},
              row_bytes * static_cast<std::uint64_t>(job.row_begin));
  return value;
}

}  // namespace

bool ReadJob::whole() const { return row_begin == 0 && row_count == rows_of(*stored); }

std::uint64_t ReadJob::bytes() const {
  const auto rows = static_cast<std::uint64_t>(rows_of(*stored));
  return rows == 0 ? 0 : stored->bytes() / rows * static_cast<std::uint64_t>(row_count);
}

ReadJob whole_tensor(const StoredTensor& stored, std::size_t tag) {
  return {&stored, 0, rows_of(stored), tag};
}

std::vector<ReadJob> row_slices(const StoredTensor& stored, std::int64_t granularity,
                                std::uint64_t slice_bytes, std::size_t tag) {
  const std::int64_t rows = rows_of(stored);
  if (granularity <= 0 || stored.bytes() <= slice_bytes || rows <= granularity)
    return {whole_tensor(stored, tag)};
  const std::uint64_t row_bytes = stored.bytes() / static_cast<std::uint64_t>(rows);
  const auto fitting =
      static_cast<std::int64_t>(slice_bytes / std::max<std::uint64_t>(row_bytes, 1));
  const std::int64_t step = std::max<std::int64_t>(fitting / granularity, 1) * granularity;
  std::vector<ReadJob> jobs;
  for (std::int64_t begin = 0; begin < rows; begin += step) {
    jobs.push_back({&stored, begin, std::min(step, rows - begin), tag});
  }
  return jobs;
}

TensorStream::TensorStream(std::vector<ReadJob> jobs, StreamLimits limits,
                           const CancelToken* cancel, Trace* trace)
    : jobs_(std::move(jobs)),
      limits_(limits),
      cancel_(cancel),
      trace_(trace),
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

std::optional<std::size_t> TensorStream::claim() {
  std::unique_lock lock(mutex_);
  const auto fits = [&] {
    return in_flight_ == 0 || in_flight_ + jobs_[next_read_].bytes() <= limits_.queue_bytes;
  };
  changed_.wait(lock, [&] { return stopping_ || next_read_ == jobs_.size() || fits(); });
  if (stopping_ || next_read_ == jobs_.size() || (cancel_ && cancel_->cancelled()))
    return std::nullopt;
  in_flight_ += jobs_[next_read_].bytes();
  peak_bytes_ = std::max(peak_bytes_, in_flight_);
  return next_read_++;
}

void TensorStream::read_jobs() {
  while (const auto index = claim()) {
    Slot result;
    const ReadJob& job = jobs_[*index];
    try {
      const Trace::Span span(trace_, "tensor", "read",
                             {{"name", job.stored->name()}, {"bytes", job.bytes()}});
      result.value = read_job(job);
    } catch (const Error& e) {
      result.error =
          std::make_exception_ptr(e.within(fmt::format("tensor {}", job.stored->name())));
    } catch (...) {
      result.error = std::current_exception();
    }
    result.ready = true;
    {
      std::lock_guard lock(mutex_);
      slots_[*index] = std::move(result);
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
