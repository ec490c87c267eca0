// Spreads the blocks of a launch over operating system threads, and turns the first fault into an
// exception.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "block.hpp"
#include "quanthost/kernel/emulated_stream.h"

namespace quanthost::gpu::emulated {
namespace {

constexpr unsigned kMaxThreadsOfBlock = 1024;

// Blocks that wait for their next use, so that stacks are mapped and touched once.
class BlockPool {
 public:
  std::unique_ptr<Block> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<Block>();
    std::unique_ptr<Block> block = std::move(idle_.back());
    idle_.pop_back();
    return block;
  }
  void give_back(std::unique_ptr<Block> block) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(block));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Block>> idle_;
};

BlockPool& pool() {
  static BlockPool instance;
  return instance;
}

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoull(text, nullptr, 10);
}

qh_emulated_stream options_of(Stream stream) {
  qh_emulated_stream options{};
  if (stream.native != nullptr) {
    const auto& given = *static_cast<const qh_emulated_stream*>(stream.native);
    std::copy_n(static_cast<const char*>(stream.native),
                std::min<std::size_t>(given.struct_size, sizeof options),
                reinterpret_cast<char*>(&options));
  } else {
    options.warp_size = static_cast<std::uint32_t>(number_from("QUANTHOST_EMULATOR_WARP_SIZE", 32));
    options.seed = number_from("QUANTHOST_EMULATOR_SEED", 0);
    options.max_threads = static_cast<std::uint32_t>(number_from("QUANTHOST_EMULATOR_THREADS", 0));
  }
  if (options.warp_size != 32 && options.warp_size != 64) {
    throw Error("emulated launch: a warp has 32 or 64 lanes, not " +
                std::to_string(options.warp_size));
  }
  return options;
}

void check_shape(const LaunchShape& shape) {
  const auto all_positive = [](const Size3& size) {
    return size.x > 0 && size.y > 0 && size.z > 0;
  };
  if (!all_positive(shape.grid) || !all_positive(shape.block)) {
    throw Error("emulated launch: the grid " + to_text(shape.grid) + " and the block " +
                to_text(shape.block) + " need at least one in each direction");
  }
  if (std::uint64_t{shape.block.x} * shape.block.y * shape.block.z > kMaxThreadsOfBlock ||
      shape.block.z > 64) {
    throw Error("emulated launch: the block " + to_text(shape.block) + " has more than " +
                std::to_string(kMaxThreadsOfBlock) + " threads, or more than 64 in z");
  }
  if (shape.grid.x > 0x7fffffffu || shape.grid.y > 65535 || shape.grid.z > 65535) {
    throw Error("emulated launch: the grid " + to_text(shape.grid) +
                " passes the limit (2147483647,65535,65535)");
  }
}

// One launch in flight. Workers take blocks until none is left or one has a fault.
class Grid {
 public:
  Grid(const LaunchShape& shape, const qh_emulated_stream& options,
       const std::function<void()>& kernel)
      : shape_(shape),
        options_(options),
        kernel_(kernel),
        blocks_(std::uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z) {}

  void run() {
    const std::uint64_t cores = std::max(1u, std::thread::hardware_concurrency());
    const std::uint64_t allowed = options_.max_threads == 0 ? cores : options_.max_threads;
    const std::uint64_t workers = std::min(blocks_, allowed);
    if (workers <= 1) {
      work();
    } else if (options_.parallel_for != nullptr) {
      options_.parallel_for(
          options_.context, workers,
          [](void* grid, std::uint64_t) { static_cast<Grid*>(grid)->work(); }, this);
    } else {
      std::vector<std::jthread> threads;
      for (std::uint64_t i = 1; i < workers; ++i) threads.emplace_back([this] { work(); });
      work();
    }
    if (!fault_.empty()) throw Error("emulated kernel: " + fault_);
  }

 private:
  void work() noexcept {
    try {
      std::unique_ptr<Block> block = pool().take();
      for (std::uint64_t i; !failed_ && (i = next_++) < blocks_;) {
        const std::uint64_t linear = (i + options_.seed) % blocks_;
        const BlockRun run{shape_, index_of(linear), options_.warp_size,
                           options_.seed * 0x9e3779b97f4a7c15u + linear, &kernel_};
        if (std::optional<std::string> fault = block->run(run)) report(*fault);
      }
      pool().give_back(std::move(block));
    } catch (const std::exception& e) {
      report(e.what());
    }
  }

  Size3 index_of(std::uint64_t linear) const {
    const Size3& grid = shape_.grid;
    return {static_cast<unsigned>(linear % grid.x), static_cast<unsigned>(linear / grid.x % grid.y),
            static_cast<unsigned>(linear / (std::uint64_t{grid.x} * grid.y))};
  }

  void report(const std::string& fault) {
    const std::lock_guard lock(mutex_);
    if (fault_.empty()) fault_ = fault;
    failed_ = true;
  }

  const LaunchShape shape_;
  const qh_emulated_stream options_;
  const std::function<void()>& kernel_;
  const std::uint64_t blocks_;
  std::atomic<std::uint64_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::string fault_;
};

}  // namespace

void run(Stream stream, const LaunchShape& shape, const std::function<void()>& kernel) {
  check_shape(shape);
  Grid(shape, options_of(stream), kernel).run();
}

const Self& self() { return Block::current().self(); }
void block_barrier(const Site& site) { Block::current().block_barrier(site); }
void warp_barrier(int width, const Site& site) { Block::current().warp_barrier(width, site); }
void spin(const Site& site) { Block::current().spin(site); }

const std::byte* exchange(const char* operation, int width, const void* payload, std::size_t bytes,
                          const Site& site) {
  return Block::current().exchange(operation, width, payload, bytes, site);
}
void leave_exchange() { Block::current().leave_exchange(); }

SharedSpan static_shared(const void* key, std::size_t bytes, std::size_t alignment,
                         const char* name) {
  return Block::current().shared().static_array(key, bytes, alignment, name);
}
SharedSpan dynamic_shared(std::size_t offset, std::size_t bytes, std::size_t alignment,
                          const Site& site) {
  Block& block = Block::current();
  return block.shared().dynamic_array(block.self(), offset, bytes, alignment, site);
}
void check_shared(const SharedSpan& span, std::int64_t at, std::size_t bytes, std::size_t alignment,
                  Access access, const Site& site) {
  Block& block = Block::current();
  block.shared().check(block.toucher(), span, at, bytes, alignment, access, site);
}
void check_global(const void* address, std::size_t alignment, const Site& site) {
  if (reinterpret_cast<std::uintptr_t>(address) % alignment == 0) return;
  throw Fault{describe(self(), site,
                       "misaligned: the address in global memory is not a multiple of " +
                           std::to_string(alignment) + " bytes")};
}

void async_copy(const SharedSpan& span, std::int64_t at, const void* source, std::size_t bytes,
                const Site& site) {
  Block& block = Block::current();
  block.shared().begin_copy(block.toucher(), span, at, source, bytes, site);
}
void async_commit() {
  Block& block = Block::current();
  block.shared().commit_copies(block.self().linear);
}
void async_wait(int groups_left) {
  Block& block = Block::current();
  block.shared().land_copies(block.toucher(), groups_left);
}

}  // namespace quanthost::gpu::emulated
