// The services of the conformance host: log, threads, progress, packages and tensors on plain
// memory.
#include <cstring>
#include <thread>

#include "host/base/error.hpp"
#include "host/conformance/mock_host.hpp"
#include "host/conformance/mock_model_service.hpp"
#include "host/plugins/version.hpp"
#include "quanthost/plugin/error.hpp"

namespace quanthost::conformance {
namespace {

using qh::from_abi;
using qh::to_abi;

const qh_log_api kLog = {
    sizeof(qh_log_api), 0,
    [](qh_host* host, std::int32_t level, qh_str) {
      if (level >= QH_LOG_WARN) ++MockHost::from(host).warnings;
    },
    [](qh_host*, std::int32_t level) -> std::int32_t { return level >= QH_LOG_INFO; }};

const qh_threads_api kThreads = {
    sizeof(qh_threads_api), 0, [](qh_host*) -> std::uint32_t { return 2; },
    [](qh_host*, std::int64_t count, std::int64_t grain, qh_range_fn body, void* arg) {
      return run_ranges(2, count, grain, body, arg);
    }};

const qh_progress_api kProgress = {
    sizeof(qh_progress_api), 0,
    [](qh_session*, qh_str, qh_str, std::uint64_t) -> qh_status { return QH_OK; },
    [](qh_session* session, std::uint64_t, qh_str) -> qh_status {
      return MockSession::from(session).host->cancelled ? QH_ERR_CANCELLED : QH_OK;
    },
    [](qh_session*) -> qh_status { return QH_OK; }};

const MockPackage& package_of(qh_session* session, qh_str name) {
  MockHost& host = *MockSession::from(session).host;
  const auto found = host.packages.find(from_abi(name));
  if (found == host.packages.end())
    fail(ErrorKind::kKey, "the package '{}' was not resolved", from_abi(name));
  return found->second;
}

const qh_packages_api kPackages = {
    sizeof(qh_packages_api),
    0,
    [](qh_session* session, qh_str package, qh_str_sink out) -> qh_status {
      return MockSession::from(session).host->serve([&] {
        const std::string& version = package_of(session, package).version;
        out.emit(out.ctx, to_abi(version));
      });
    },
    [](qh_host* host, qh_str a, qh_str b, std::int32_t* out) -> qh_status {
      return MockHost::from(host).serve([&] {
        const auto order = Version::parse(from_abi(a)) <=> Version::parse(from_abi(b));
        *out = order < 0 ? -1 : order > 0 ? 1 : 0;
      });
    },
    [](qh_host* host, qh_str version, qh_str constraints, std::int32_t* out) -> qh_status {
      return MockHost::from(host).serve([&] {
        *out = Constraints::parse(from_abi(constraints)).allows(Version::parse(from_abi(version)))
                   ? 1
                   : 0;
      });
    },
    [](qh_session* session, qh_str package, qh_str interface_id, qh_str device, const void** table,
       qh_package** self) -> qh_status {
      qh_status status = QH_OK;
      const qh_status served = MockSession::from(session).host->serve([&] {
        status = package_of(session, package)
                     .open(from_abi(interface_id), from_abi(device), table, self);
      });
      return served == QH_OK ? status : served;
    }};

qh_status give(const qh_exec* exec, const std::function<qh_managed_tensor*()>& make,
               qh_managed_tensor** out) {
  MockHost& host = MockExec::host_of(exec);
  return host.serve([&] {
    if (!host.take_allocation())
      fail(ErrorKind::kMemory, "the host has no memory left (injected by the test)");
    *out = make();
  });
}

const qh_tensor_api kTensor = {
    sizeof(qh_tensor_api),
    0,
    [](const qh_exec* exec, qh_dtype dtype, std::int32_t ndim, const std::int64_t* shape,
       qh_managed_tensor** out) {
      return give(
          exec,
          [&] {
            return make_tensor(dtype, {shape, shape + ndim});
          },
          out);
    },
    [](const qh_exec* exec, const qh_tensor* from, const qh_tensor* to) {
      return MockExec::host_of(exec).serve([&] { copy_elements(*from, *to); });
    },
    [](const qh_exec* exec, qh_managed_tensor* tensor, qh_dtype dtype, std::int32_t ndim,
       const std::int64_t* shape, qh_managed_tensor** out) {
      return give(
          exec,
          [&] {
            return share_tensor(tensor, dtype, {shape, shape + ndim});
          },
          out);
    },
    [](const qh_exec*) -> qh_status { return QH_OK; }};

}  // namespace

const void* find_service(std::string_view id) {
  if (id == QH_LOG_ID) return &kLog;
  if (id == QH_THREADS_ID) return &kThreads;
  if (id == QH_PROGRESS_ID) return &kProgress;
  if (id == QH_PACKAGES_ID) return &kPackages;
  if (id == QH_TENSOR_ID) return &kTensor;
  if (id == QH_MODEL_ID) return &model_service();
  if (id == QH_CHECKPOINT_ID) return &checkpoint_service();
  return nullptr;
}

}  // namespace quanthost::conformance
