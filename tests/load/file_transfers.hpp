// What this process reads from files below a folder, writes to them and flushes: each transfer can
// be watched, and made to fail.
#pragma once

#include <cerrno>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "host/load/cancel.hpp"

namespace quanthost {

enum class Transfer { kRead, kWrite, kFlush };

class WatchedTransfers {
 public:
  // Before each transfer, one at a time, on the thread that wants it: the errno it fails with, or
  // 0.
  using Watch = std::function<int(Transfer)>;

  WatchedTransfers(const std::filesystem::path& folder, Watch watch);
  WatchedTransfers(const WatchedTransfers&) = delete;
  WatchedTransfers& operator=(const WatchedTransfers&) = delete;
  ~WatchedTransfers();

  int before(Transfer transfer, int file);

 private:
  const std::string folder_;
  const Watch watch_;
  std::mutex mutex_;
};

// The transfer of this kind fails, once, after as many went well.
class FailingTransfer {
 public:
  FailingTransfer(const std::filesystem::path& folder, Transfer kind, int after, int error = EIO)
      : watched_(folder, [kind, after, error](Transfer transfer) mutable {
          return transfer == kind && after-- == 0 ? error : 0;
        }) {}

 private:
  WatchedTransfers watched_;
};

// Asks for a stop from another thread, before the transfer that comes after as many others.
class StopAtTransfer {
 public:
  StopAtTransfer(const std::filesystem::path& folder, CancelToken& cancel, int after)
      : watched_(folder, [this, &cancel, after](Transfer transfer) mutable {
          if (after > 0 && transfer == Transfer::kWrite) wrote_ = true;
          if (after-- == 0) std::thread([&] { cancel.cancel(); }).join();
          return 0;
        }) {}
  bool wrote() const { return wrote_; }  // before the stop

 private:
  bool wrote_ = false;
  WatchedTransfers watched_;
};

}  // namespace quanthost
