// Tensors read ahead of their user: several readers, one consumer in file order, and never more
// bytes in flight than allowed.
#pragma once

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "host/checkpoint/checkpoint.hpp"
#include "host/load/cancel.hpp"
#include "host/load/read_buffers.hpp"
#include "host/load/trace.hpp"

namespace quanthost {

// A stored tensor, or some of its rows.
struct ReadJob {
  const StoredTensor* stored;
  std::int64_t row_begin = 0;
  std::int64_t row_count = 0;               // of the first dimension; a scalar has one row
  std::size_t tag = 0;                      // the consumer's own
  std::optional<at::ScalarType> cast = {};  // converted while it is read; nothing: stays as stored
  bool passes = false;  // what it is made into stays, it does not: its memory is read into again

  bool whole() const;
  std::uint64_t stored_bytes() const;
  std::uint64_t bytes() const;  // in memory, converted
};

ReadJob whole_tensor(const StoredTensor& stored, std::size_t tag,
                     std::optional<at::ScalarType> cast = {});
// Slices of at most `slice_bytes` as stored, each a multiple of `granularity` rows (the last may be
// shorter).
std::vector<ReadJob> row_slices(const StoredTensor& stored, std::int64_t granularity,
                                std::uint64_t slice_bytes, std::size_t tag,
                                std::optional<at::ScalarType> cast = {});

struct StreamLimits {
  std::uint64_t queue_bytes =
      std::uint64_t{256} << 20;  // read and not yet consumed; one larger tensor may pass it alone
  unsigned readers = 2;
};

// Reads with pread into fresh memory, so that a tensor which stays as it is costs no copy, and into
// the same memory again for those that do not stay; one that is converted passes through a small
// buffer. Made and used by one thread.
class TensorStream {
 public:
  // The checkpoint, cancel and trace (both may be null) outlive the stream.
  TensorStream(std::vector<ReadJob> jobs, StreamLimits limits, const CancelToken* cancel,
               Trace* trace);
  ~TensorStream();  // stops the readers and waits for them

  struct Item {
    ReadJob job;
    at::Tensor value;  // on the host
  };
  // The next job in order, or nothing after the last. The bytes of the item before it are free for
  // the readers from now on. Throws what the reader met, naming tensor and file; kCancelled when
  // asked to stop.
  std::optional<Item> next();

  std::uint64_t peak_bytes() const { return peak_bytes_; }  // most that was in flight
  std::uint64_t largest_bytes() const;                      // of one job

 private:
  struct Slot {
    at::Tensor value;
    std::exception_ptr error;
    bool ready = false;
  };

  struct Claim {
    std::size_t index;             // of the job
    std::shared_ptr<void> memory;  // that it is read into; nothing: its own
  };

  void read_jobs();
  std::optional<Claim> claim();  // the next job to read, once its bytes fit
  bool fits(const ReadJob& job, std::shared_ptr<void>& memory);

  const std::vector<ReadJob> jobs_;
  const StreamLimits limits_;
  const CancelToken* const cancel_;
  Trace* const trace_;
  ReadBuffers buffers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Slot> slots_;
  std::size_t next_read_ = 0;
  std::size_t next_item_ = 0;
  std::uint64_t in_flight_ = 0;
  std::uint64_t peak_bytes_ = 0;
  std::uint64_t held_ = 0;  // bytes of the item that the consumer has
  bool stopping_ = false;
  std::vector<std::thread> readers_;
};

}  // namespace quanthost
