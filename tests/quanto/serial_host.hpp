// A host of one thread for tests of plugins without a model: errors are kept, memory comes from
// malloc.
#pragma once

#include <cstdlib>
#include <quanthost/plugin.hpp>
#include <string>
#include <vector>

namespace quanthost::testing {

struct LastError {
  qh_status kind = QH_OK;
  std::string message;
  std::string hint;
};
inline thread_local LastError last_error;

inline const qh_host_api& serial_host_api() {
  static const qh_host_api api = {
      sizeof(qh_host_api), 0,
      [](qh_host*, qh_status kind, qh_str message, qh_str hint) {
        last_error = {kind, std::string(qh::from_abi(message)), std::string(qh::from_abi(hint))};
      },
      [](qh_host*, qh_str) -> const void* { return nullptr; }};
  return api;
}

inline qh::Host serial_host() { return qh::Host(nullptr, &serial_host_api(), ""); }

// Splits every loop into ranges of at most `chunk` items, last one first: results must not depend
// on that.
struct SerialExec {
  std::int64_t chunk = INT64_MAX;
  qh_exec abi;

  explicit SerialExec(std::int64_t c = INT64_MAX) : chunk(c), abi{} {
    abi.struct_size = sizeof(qh_exec);
    abi.thread_count = 1;
    abi.device_name = qh::to_abi("cpu");
    abi.device = {QH_DEVICE_CPU, 0};
    abi.ctx = this;
    abi.allocate = [](void*, std::uint64_t bytes, void** out) -> qh_status {
      *out = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
      return *out ? QH_OK : QH_ERR_MEMORY;
    };
    abi.release = [](void*, void* memory) { std::free(memory); };
    abi.parallel_for = [](void* ctx, std::int64_t count, std::int64_t grain, qh_range_fn body,
                          void* arg) {
      const std::int64_t step = std::max(grain, static_cast<SerialExec*>(ctx)->chunk);
      qh_status status = QH_OK;
      for (std::int64_t begin = step > count ? 0 : (count - 1) / step * step;
           begin >= 0 && status == QH_OK; begin -= step)
        status = count > 0 ? body(arg, begin, std::min(count, step > count ? count : begin + step))
                           : QH_OK;
      return status;
    };
  }
  SerialExec(const SerialExec&) = delete;
  SerialExec& operator=(const SerialExec&) = delete;
};

// A tensor on memory of the test's.
template <typename T>
struct TestTensor {
  std::vector<T> values;
  std::vector<std::int64_t> shape;
  qh_tensor abi;

  TestTensor(qh_dtype dtype, std::vector<std::int64_t> s, std::vector<T> v = {})
      : values(std::move(v)), shape(std::move(s)) {
    std::int64_t count = 1;
    for (std::int64_t n : shape) count *= n;
    values.resize(static_cast<std::size_t>(count));
    abi = {values.data(),
           {QH_DEVICE_CPU, 0},
           static_cast<std::int32_t>(shape.size()),
           dtype,
           shape.data(),
           nullptr,
           0};
  }
  TestTensor(const TestTensor&) = delete;
  TestTensor& operator=(const TestTensor&) = delete;
};

}  // namespace quanthost::testing
