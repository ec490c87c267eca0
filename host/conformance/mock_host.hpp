// The host that the conformance suite plays towards a plugin: records errors, offers what a test
// wants it to offer.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "host/conformance/mock_model.hpp"
#include "quanthost/abi/plugin.h"
#include "quanthost/abi/services.h"

namespace quanthost::conformance {

struct RecordedError {
  qh_status kind = QH_OK;
  std::string message;
  std::string hint;
};

// A kernel package for a session: how to get its table.
struct MockPackage {
  std::string version;
  std::function<qh_status(std::string_view interface_id, std::string_view device,
                          const void** table, qh_package** self)>
      open;
};

class MockHost {
 public:
  MockHost();

  qh_host* handle() { return reinterpret_cast<qh_host*>(this); }
  static MockHost& from(qh_host* handle) { return *reinterpret_cast<MockHost*>(handle); }

  // Any thread: the plugin may fail on the host's threads.
  void record(qh_status kind, std::string_view message, std::string_view hint);
  // The last error since the last call of this, and forgets it.
  RecordedError take_error();
  // Runs a piece of a service; a C++ error becomes a status.
  qh_status serve(const std::function<void()>& body);

  qh_host_api api{};
  std::set<std::string, std::less<>> hidden_services;
  bool hide_all_services = false;
  std::map<std::string, MockPackage, std::less<>> packages;
  std::atomic<std::int64_t> allocations_left{-1};  // -1: no limit; at 0 every allocation fails
  std::atomic<bool> cancelled{false};
  std::atomic<int> warnings{0};

  bool take_allocation();  // false: this one has to fail

 private:
  std::mutex mutex_;
  RecordedError last_;
};

// A qh_exec of this host with a number of threads.
class MockExec {
 public:
  explicit MockExec(MockHost& host, std::uint32_t threads = 2);
  const qh_exec* abi() const { return &exec_; }
  MockHost& host() const { return host_; }
  static MockHost& host_of(const qh_exec* exec) { return static_cast<MockExec*>(exec->ctx)->host_; }

 private:
  MockHost& host_;
  qh_exec exec_{};
};

// Runs ranges of [0, count) on `threads` threads; the ranges do not depend on the number of
// threads.
qh_status run_ranges(std::uint32_t threads, std::int64_t count, std::int64_t grain,
                     qh_range_fn body, void* arg);

// Handles of one load.
struct MockSession {
  MockHost* host;
  qh_session* handle() { return reinterpret_cast<qh_session*>(this); }
  static MockSession& from(qh_session* handle) { return *reinterpret_cast<MockSession*>(handle); }
};

// Connects a model to the host that answers for it. The services look the host up here.
void attach(MockModel& model, MockHost& host);
void detach(MockModel& model);
MockHost& host_of(qh_model* model);

// The service tables (mock_services.cpp); null for an id that this host does not know.
const void* find_service(std::string_view id);

}  // namespace quanthost::conformance
