// What an interrupted calibration has already worked out: named tensors in a directory, each there
// whole or not at all.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <optional>
#include <string>

#include "host/base/file.hpp"
#include "host/base/json.hpp"

namespace quanthost {

// One run at a time uses a journal; a second one is refused while the first lives.
class Journal {
 public:
  // `run` says what results depend on, by part: "data", "model", "method". A directory that holds
  // the journal of another run is refused with the parts that differ; one that holds other files is
  // refused too, so that a mistyped path costs nobody anything.
  Journal(const std::filesystem::path& directory, const Json& run);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  bool resumed() const { return resumed_; }  // it was there before
  // On the disk when this returns.
  void write(const std::string& key, const at::Tensor& value);
  std::optional<at::Tensor> read(const std::string& key) const;  // on the CPU

 private:
  // Held by an open descriptor of the directory, and given up with it.
  class Lock {
   public:
    Lock() = default;
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock();
    void take(const std::filesystem::path& directory);

   private:
    int descriptor_ = -1;
  };

  std::filesystem::path file_of(const std::string& key) const;
  void check_owner(const Json& run) const;

  std::filesystem::path directory_;
  Lock lock_;
  bool resumed_ = false;
};

}  // namespace quanthost
