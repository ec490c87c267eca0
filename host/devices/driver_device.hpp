// What a CUDA and a HIP device have in common: streams, events and pinned memory through a driver's
// table of functions. Driver is CudaDriver or HipRuntime; Place is what its Current makes current.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "host/devices/device.hpp"

namespace quanthost {

template <class Driver, class Place>
class DriverDevice : public Device {
 public:
  DriverDevice(const Driver& driver, DeviceInfo info, Place place,
               std::shared_ptr<DeviceAllocator> allocator)
      : Device(info.name(), std::move(allocator)),
        driver_(driver),
        info_(std::move(info)),
        place_(place) {}

  DeviceInfo info() const override {
    std::size_t free = 0, total = 0;
    run([&] { return driver_.memory_info(&free, &total); }, "asking for the free memory");
    DeviceInfo now = info_;
    now.memory_free_bytes = free;
    return now;
  }

  void* create_stream() override {
    return make([&](void** stream) { return driver_.create_stream(stream, kNonBlockingStream); },
                "creating a stream");
  }
  void destroy_stream(void* stream) noexcept override { driver_.destroy_stream(stream); }
  void wait_for_stream(void* stream) override {
    run([&] { return driver_.wait_for_stream(stream); }, "waiting for a stream");
  }

  void* create_event() override {
    return make([&](void** event) { return driver_.create_event(event, kEventWithoutTime); },
                "creating an event");
  }
  void destroy_event(void* event) noexcept override { driver_.destroy_event(event); }
  void record(void* event, void* stream) override {
    run([&] { return driver_.record_event(event, stream); }, "recording an event");
  }
  bool has_happened(void* event) override {
    const typename Driver::Current current(driver_, place_);
    const typename Driver::Result result = driver_.query_event(event);
    if (result == Driver::kNotReady) return false;
    check(result, "asking for an event");
    return true;
  }
  void wait_for_event(void* event) override {
    run([&] { return driver_.wait_for_event(event); }, "waiting for an event");
  }
  void let_stream_wait(void* stream, void* event) override {
    run([&] { return driver_.let_stream_wait(stream, event, 0); }, "letting a stream wait");
  }

  void* allocate_pinned(std::size_t bytes) override {
    return make(
        [&](void** memory) { return driver_.allocate_host(memory, bytes == 0 ? 1 : bytes, 0); },
        "allocating pinned memory");
  }

 protected:
  // Calls with this device current; a failure names the device and what was being done.
  template <class Call>
  void run(Call call, const char* what) const {
    const typename Driver::Current current(driver_, place_);
    check(call(), what);
  }

  const Driver& driver_;

 private:
  static constexpr unsigned kNonBlockingStream = 1;  // does not wait for the default stream
  static constexpr unsigned kEventWithoutTime = 2;

  void check(typename Driver::Result result, const char* what) const {
    if (result != 0) driver_.check(result, fmt::format("{}: {}", info_.name(), what).c_str());
  }
  template <class Call>
  void* make(Call call, const char* what) const {
    void* made = nullptr;
    run([&] { return call(&made); }, what);
    return made;
  }

  DeviceInfo info_;
  Place place_;
};

}  // namespace quanthost
