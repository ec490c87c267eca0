// What the host needs of a device: memory, streams, events and copies. No LibTorch, no kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace quanthost {

// One line of `quanthost devices`. Where a kind of device cannot be used there is one entry with
// `reason` set.
struct DeviceInfo {
  std::string kind;             // "cpu", "cuda", "hip", "emulated", or that of another provider
  int index = 0;                // of the device within its kind
  std::string model;            // as the driver names it
  std::string capability;       // "sm_90", "gfx90a", "avx2 avx512f", "warps of 32"
  std::uint32_t warp_size = 0;  // 0: has no warps
  std::uint64_t memory_total_bytes = 0;
  std::uint64_t memory_free_bytes = 0;
  std::string reason;  // the first cause why the device cannot be used; empty when it can

  std::string name() const { return kind == "cpu" ? kind : kind + ":" + std::to_string(index); }
  bool available() const { return reason.empty(); }
};

enum class CopyKind { kToDevice, kToHost, kWithinDevice };

// Where a device's memory comes from. The part of the host that links LibTorch puts LibTorch's
// caching allocator here, so that the two never hold memory against each other. Any thread.
class DeviceAllocator {
 public:
  virtual ~DeviceAllocator() = default;
  virtual void* allocate(std::size_t bytes, void* stream) = 0;  // throws Error of kind kMemory
  virtual void release(void* memory,
                       void* stream) noexcept = 0;  // after the work queued on `stream` so far
};

// Streams and events are the runtime's own handles; the classes below own them. Every function may
// be called on any thread, leaves the thread's current CUDA or HIP device as it was, and throws
// Error with the runtime's own words.
class Device {
 public:
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  virtual DeviceInfo info() const = 0;  // the free memory is that of now
  const std::string& name() const { return name_; }
  // True where the host reads and writes what allocate() gives, as on the CPU and the emulator.
  virtual bool uses_host_memory() const { return false; }

  // The stream for work that asked for none. Not null where a kernel learns from it how to run (the
  // emulator).
  virtual void* default_stream() const { return nullptr; }
  virtual void* create_stream() = 0;
  virtual void destroy_stream(void* stream) noexcept = 0;
  virtual void wait_for_stream(void* stream) = 0;  // blocks the calling thread

  virtual void* create_event() = 0;
  virtual void destroy_event(void* event) noexcept = 0;
  virtual void record(void* event, void* stream) = 0;
  virtual bool has_happened(void* event) = 0;
  virtual void wait_for_event(void* event) = 0;                 // blocks the calling thread
  virtual void let_stream_wait(void* stream, void* event) = 0;  // blocks the stream alone

  // Aligned to 256 bytes.
  void* allocate(std::size_t bytes, void* stream) { return allocator_->allocate(bytes, stream); }
  void release(void* memory, void* stream) noexcept { allocator_->release(memory, stream); }
  // Call it before the first allocation: memory goes back to the allocator it came from.
  void set_allocator(std::shared_ptr<DeviceAllocator> allocator) {
    allocator_ = std::move(allocator);
  }

  // Host memory that copies to and from the device read and write directly.
  virtual void* allocate_pinned(std::size_t bytes) = 0;
  virtual void release_pinned(void* memory) noexcept = 0;

  // Queued on the stream; host memory that is not pinned may make the call wait.
  virtual void copy(CopyKind kind, void* target, const void* source, std::size_t bytes,
                    void* stream) = 0;
  virtual void fill(void* target, int byte, std::size_t bytes, void* stream) = 0;

 protected:
  Device(std::string name, std::shared_ptr<DeviceAllocator> allocator)
      : name_(std::move(name)), allocator_(std::move(allocator)) {}

 private:
  std::string name_;
  std::shared_ptr<DeviceAllocator> allocator_;
};

// Each owner below must end before its device does.
class DeviceStream {
 public:
  explicit DeviceStream(Device& device) : device_(device), native_(device.create_stream()) {}
  ~DeviceStream() { device_.destroy_stream(native_); }
  DeviceStream(const DeviceStream&) = delete;
  DeviceStream& operator=(const DeviceStream&) = delete;

  void* native() const { return native_; }
  void wait() { device_.wait_for_stream(native_); }

 private:
  Device& device_;
  void* native_;
};

class DeviceEvent {
 public:
  explicit DeviceEvent(Device& device) : device_(device), native_(device.create_event()) {}
  ~DeviceEvent() { device_.destroy_event(native_); }
  DeviceEvent(const DeviceEvent&) = delete;
  DeviceEvent& operator=(const DeviceEvent&) = delete;

  void record(const DeviceStream& stream) { device_.record(native_, stream.native()); }
  bool has_happened() const { return device_.has_happened(native_); }
  void wait() { device_.wait_for_event(native_); }
  void hold_back(const DeviceStream& stream) { device_.let_stream_wait(stream.native(), native_); }

 private:
  Device& device_;
  void* native_;
};

class DeviceMemory {
 public:
  DeviceMemory(Device& device, std::size_t bytes, void* stream)
      : device_(device), stream_(stream), data_(device.allocate(bytes, stream)), bytes_(bytes) {}
  ~DeviceMemory() { device_.release(data_, stream_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  Device& device_;
  void* stream_;
  void* data_;
  std::size_t bytes_;
};

class PinnedMemory {
 public:
  PinnedMemory(Device& device, std::size_t bytes)
      : device_(device), data_(device.allocate_pinned(bytes)), bytes_(bytes) {}
  ~PinnedMemory() { device_.release_pinned(data_); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  Device& device_;
  void* data_;
  std::size_t bytes_;
};

}  // namespace quanthost
