#include "host/conformance/mock_host.hpp"

#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

#include "host/base/error.hpp"
#include "quanthost/plugin/error.hpp"

namespace quanthost::conformance {

MockHost::MockHost() {
  api.struct_size = sizeof(qh_host_api);
  api.set_error = [](qh_host* host, qh_status kind, qh_str message, qh_str hint) {
    from(host).record(kind, qh::from_abi(message), qh::from_abi(hint));
  };
  api.get_service = [](qh_host* host, qh_str id) -> const void* {
    MockHost& self = from(host);
    const std::string_view name = qh::from_abi(id);
    return self.hide_all_services || self.hidden_services.contains(name) ? nullptr
                                                                         : find_service(name);
  };
}

void MockHost::record(qh_status kind, std::string_view message, std::string_view hint) {
  std::lock_guard lock(mutex_);
  last_ = {kind, std::string(message), std::string(hint)};
}

RecordedError MockHost::take_error() {
  std::lock_guard lock(mutex_);
  return std::exchange(last_, {});
}

qh_status MockHost::serve(const std::function<void()>& body) {
  try {
    body();
    return QH_OK;
  } catch (const Error& error) {
    record(static_cast<qh_status>(error.kind()), error.message(), error.hint());
    return static_cast<qh_status>(error.kind());
  } catch (const std::bad_alloc&) {
    record(QH_ERR_MEMORY, "out of memory", "");
    return QH_ERR_MEMORY;
  }
}

bool MockHost::take_allocation() {
  if (allocations_left < 0) return true;
  if (allocations_left == 0) return false;
  --allocations_left;
  return true;
}

MockExec::MockExec(MockHost& host, std::uint32_t threads) : host_(host) {
  exec_.struct_size = sizeof(qh_exec);
  exec_.thread_count = threads;
  exec_.device_name = qh::to_abi("cpu");
  exec_.device = {QH_DEVICE_CPU, 0};
  exec_.ctx = this;
  exec_.allocate = [](void* ctx, std::uint64_t bytes, void** out) -> qh_status {
    MockHost& host = static_cast<MockExec*>(ctx)->host_;
    *out = host.take_allocation() ? std::aligned_alloc(64, (bytes + 127) / 64 * 64) : nullptr;
    if (*out) return QH_OK;
    host.record(QH_ERR_MEMORY, "the host has no memory left (injected by the test)", "");
    return QH_ERR_MEMORY;
  };
  exec_.release = [](void*, void* memory) { std::free(memory); };
  exec_.parallel_for = [](void* ctx, std::int64_t count, std::int64_t grain, qh_range_fn body,
                          void* arg) {
    return run_ranges(static_cast<MockExec*>(ctx)->exec_.thread_count, count, grain, body, arg);
  };
  exec_.cancelled = [](void* ctx) -> std::int32_t {
    return static_cast<MockExec*>(ctx)->host_.cancelled ? 1 : 0;
  };
  exec_.progress = [](void*, std::uint64_t, std::uint64_t) {};
}

qh_status run_ranges(std::uint32_t threads, std::int64_t count, std::int64_t grain,
                     qh_range_fn body, void* arg) {
  const std::int64_t step = std::max<std::int64_t>(grain, 1);
  const std::int64_t ranges = (count + step - 1) / step;
  std::atomic<std::int64_t> next{0};
  std::atomic<qh_status> failure{QH_OK};
  const auto work = [&] {
    for (std::int64_t i; failure == QH_OK && (i = next++) < ranges;) {
      const qh_status status = body(arg, i * step, std::min(count, (i + 1) * step));
      qh_status expected = QH_OK;
      if (status != QH_OK) failure.compare_exchange_strong(expected, status);
    }
  };
  std::vector<std::thread> pool;
  for (std::uint32_t t = 1; t < threads && static_cast<std::int64_t>(t) < ranges; ++t)
    pool.emplace_back(work);
  work();
  for (std::thread& thread : pool) thread.join();
  return failure;
}

namespace {

std::mutex g_attached_mutex;
std::map<qh_model*, MockHost*>& attached() {
  static std::map<qh_model*, MockHost*> models;
  return models;
}

}  // namespace

void attach(MockModel& model, MockHost& host) {
  std::lock_guard lock(g_attached_mutex);
  attached()[model.handle()] = &host;
}

void detach(MockModel& model) {
  std::lock_guard lock(g_attached_mutex);
  attached().erase(model.handle());
}

MockHost& host_of(qh_model* model) {
  std::lock_guard lock(g_attached_mutex);
  return *attached().at(model);
}

}  // namespace quanthost::conformance
