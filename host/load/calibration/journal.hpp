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
  ~Journal();

  bool resumed() const { return resumed_; }  // it was there before
  // On the disk when this returns.
  void write(const std::string& key, const at::Tensor& value);
  std::optional<at::Tensor> read(const std::string& key) const;  // on the CPU

 private:
  std::filesystem::path file_of(const std::string& key) const;
  void take_lock();
  void check_owner(const Json& run) const;

  std::filesystem::path directory_;
  int lock_ = -1;
  bool resumed_ = false;
};

}  // namespace quanthost
