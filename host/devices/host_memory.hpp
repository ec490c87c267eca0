// A device whose memory is the host's and whose work is done when the call returns: the CPU and the
// emulator.
#pragma once

#include <cstdint>
#include <string>

#include "host/devices/device.hpp"

namespace quanthost {

struct HostMemoryInfo {
  std::uint64_t total_bytes;  // of the machine, or of the control group where that is less
  std::uint64_t free_bytes;   // that can be taken without swapping
};
HostMemoryInfo host_memory();

class HostMemoryDevice : public Device {
 public:
  explicit HostMemoryDevice(std::string name);

  bool uses_host_memory() const override { return true; }
  void* create_stream() override { return nullptr; }
  void destroy_stream(void*) noexcept override {}
  void wait_for_stream(void*) override {}

  void* create_event() override { return nullptr; }
  void destroy_event(void*) noexcept override {}
  void record(void*, void*) override {}
  bool has_happened(void*) override { return true; }
  void wait_for_event(void*) override {}
  void let_stream_wait(void*, void*) override {}

  void* allocate_pinned(std::size_t bytes) override;
  void release_pinned(void* memory) noexcept override;
  void copy(CopyKind kind, void* target, const void* source, std::size_t bytes,
            void* stream) override;
  void fill(void* target, int byte, std::size_t bytes, void* stream) override;
};

}  // namespace quanthost
