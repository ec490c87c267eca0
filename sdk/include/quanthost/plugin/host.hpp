// The host as a plugin sees it: services by id, logging, and the exec of one call.
#pragma once

#include <quanthost/abi/layers.h>
#include <quanthost/abi/plugin.h>
#include <quanthost/abi/services.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <quanthost/plugin/error.hpp>
#include <quanthost/plugin/tensor.hpp>
#include <string>
#include <string_view>

namespace qh {

// A copy of somebody's struct as far as both sides know it; the rest is zero.
template <typename T>
T copy_sized(const T* theirs) {
  T mine{};
  if (theirs) std::memcpy(&mine, theirs, std::min<std::size_t>(theirs->struct_size, sizeof(T)));
  return mine;
}

// Collects what a slot emits into a container of strings.
template <typename Container>
qh_str_sink string_sink(Container& out) {
  return {&out, [](void* ctx, qh_str value) -> qh_status {
            try {
              static_cast<Container*>(ctx)->emplace_back(from_abi(value));
              return QH_OK;
            } catch (...) {
              return QH_ERR_MEMORY;
            }
          }};
}
// Collects one string.
inline qh_str_sink text_sink(std::string& out) {
  return {&out, [](void* ctx, qh_str value) -> qh_status {
            try {
              static_cast<std::string*>(ctx)->assign(from_abi(value));
              return QH_OK;
            } catch (...) {
              return QH_ERR_MEMORY;
            }
          }};
}

class Host {
 public:
  Host(qh_host* handle, const qh_host_api* api, std::string plugin_path)
      : handle_(handle), api_(copy_sized(api)), plugin_path_(std::move(plugin_path)) {
    load(QH_LOG_ID, log_);
    load(QH_THREADS_ID, threads);
    load(QH_PROGRESS_ID, progress);
    load(QH_PACKAGES_ID, packages);
    load(QH_TENSOR_ID, tensors);
    load(QH_MODEL_ID, model);
    load(QH_CHECKPOINT_ID, checkpoint);
    load(QH_LINALG_ID, linalg);
    load(QH_TEXT_ID, text);
    load(QH_CALIBRATION_ID, calibration);
    load(QH_LAYERS_ID, layers);
  }

  qh_host* handle() const { return handle_; }
  const qh_host_api& api() const { return api_; }
  const std::string& plugin_path() const { return plugin_path_; }  // of this plugin's own file

  template <typename Body>
  qh_status guard(Body&& body) const noexcept {
    return qh::guard(handle_, api_, std::forward<Body>(body));
  }
  const void* service(std::string_view id) const {
    return api_.get_service ? api_.get_service(handle_, to_abi(id)) : nullptr;
  }
  // Fails with the name of a service that this plugin cannot do without.
  template <typename Api>
  const Api& need(const Api& api, const char* id) const {
    if (api.struct_size == 0)
      throw Error(QH_ERR_RUNTIME, std::string("this host does not offer ") + id,
                  "load the plugin in a newer quanthost");
    return api;
  }

  void log(std::int32_t level, std::string_view message) const {
    if (log_.write) log_.write(handle_, level, to_abi(message));
  }
  void info(std::string_view message) const { log(QH_LOG_INFO, message); }
  void warn(std::string_view message) const { log(QH_LOG_WARN, message); }

  bool satisfies(std::string_view version, std::string_view constraints) const {
    std::int32_t result = 0;
    check(need(packages, QH_PACKAGES_ID)
              .satisfies(handle_, to_abi(version), to_abi(constraints), &result));
    return result != 0;
  }
  // "" when the session has no such package.
  std::string package_version(qh_session* session, std::string_view package) const {
    std::string version;
    const qh_status status =
        need(packages, QH_PACKAGES_ID).version(session, to_abi(package), text_sink(version));
    if (status == QH_ERR_KEY) return {};
    check(status);
    return version;
  }

  // Empty (struct_size 0) where the host does not offer the service.
  qh_threads_api threads{};
  qh_progress_api progress{};
  qh_packages_api packages{};
  qh_tensor_api tensors{};
  qh_model_api model{};
  qh_checkpoint_api checkpoint{};
  qh_linalg_api linalg{};
  qh_text_api text{};
  qh_calibration_api calibration{};
  qh_layers_api layers{};

 private:
  template <typename Api>
  void load(const char* id, Api& api) {
    api = copy_sized(static_cast<const Api*>(service(id)));
  }

  qh_host* handle_;
  qh_host_api api_;
  std::string plugin_path_;
  qh_log_api log_{};
};

// Where and how one call works; borrowed for that call.
class Exec {
 public:
  Exec(const Host& host, const qh_exec* exec) : host_(&host), abi_(exec), exec_(copy_sized(exec)) {}

  const Host& host() const { return *host_; }
  const qh_exec* abi() const { return abi_; }
  std::string_view device_name() const { return from_abi(exec_.device_name); }
  std::string_view device_kind() const { return device_name().substr(0, device_name().find(':')); }
  bool is_cpu() const { return device_kind() == "cpu"; }
  std::uint32_t thread_count() const { return exec_.thread_count ? exec_.thread_count : 1; }
  void* stream() const { return exec_.stream; }

  // body(begin, end) on the host's threads. An exception in a range comes out here.
  template <typename Body>
  void parallel_for(std::int64_t count, std::int64_t grain, Body&& body) const {
    struct Call {
      Body* body;
      const Host* host;
    } call{&body, host_};
    const qh_range_fn run = [](void* arg, std::int64_t begin, std::int64_t end) -> qh_status {
      auto* self = static_cast<Call*>(arg);
      return self->host->guard([&] { (*self->body)(begin, end); });
    };
    if (exec_.parallel_for) {
      check(exec_.parallel_for(exec_.ctx, count, grain, run, &call));
    } else {
      body(std::int64_t{0}, count);
    }
  }

  Tensor allocate(Dtype dtype, const std::vector<std::int64_t>& shape) const {
    qh_managed_tensor* out = nullptr;
    check(host_->need(host_->tensors, QH_TENSOR_ID)
              .allocate(abi_, dtype, static_cast<std::int32_t>(shape.size()), shape.data(), &out));
    return Tensor(out);
  }
  void copy(const qh_tensor* from, const qh_tensor* to) const {
    check(host_->need(host_->tensors, QH_TENSOR_ID).copy(abi_, from, to));
  }
  // A contiguous tensor of this type on this device; the same memory when it already is one.
  Tensor converted(Tensor tensor, Dtype dtype) const {
    if (tensor.view().dtype() == dtype && tensor.view().is_contiguous()) return tensor;
    Tensor result = allocate(dtype, tensor.view().shape());
    copy(tensor.abi(), result.abi());
    return result;
  }
  Tensor share(const Tensor& tensor, Dtype dtype, const std::vector<std::int64_t>& shape) const {
    qh_managed_tensor* out = nullptr;
    check(host_->need(host_->tensors, QH_TENSOR_ID)
              .share(abi_, tensor.get(), dtype, static_cast<std::int32_t>(shape.size()),
                     shape.data(), &out));
    return Tensor(out);
  }
  Tensor share(const Tensor& tensor) const {
    return share(tensor, tensor.view().dtype(), tensor.view().shape());
  }

  void throw_if_cancelled() const {
    if (exec_.cancelled && exec_.cancelled(exec_.ctx)) throw Error(QH_ERR_CANCELLED, "cancelled");
  }
  void progress(std::uint64_t done, std::uint64_t total) const {
    if (exec_.progress) exec_.progress(exec_.ctx, done, total);
  }

 private:
  const Host* host_;
  const qh_exec* abi_;
  qh_exec exec_;
};

// Scratch memory for one call.
class Scratch {
 public:
  Scratch(const qh_exec& exec, std::uint64_t bytes) : exec_(&exec) {
    check(exec.allocate(exec.ctx, bytes, &memory_));
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { exec_->release(exec_->ctx, memory_); }
  template <typename T>
  T* as() const {
    return static_cast<T*>(memory_);
  }

 private:
  const qh_exec* exec_;
  void* memory_ = nullptr;
};

}  // namespace qh
