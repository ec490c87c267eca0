// Memory of finished parts of a model, kept in a file: written once, mapped where somebody looks at
// it, and not resident otherwise.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>

#include "host/base/file.hpp"
#include "host/checkpoint/checkpoint.hpp"
#include "host/load/plugin_module.hpp"

namespace quanthost {

// The file has no name: it is gone with this process, however that ends. The load thread alone uses
// it.
class Spool {
 public:
  // On the disk of `directory`, or of the nearest parent that exists.
  explicit Spool(const std::filesystem::path& directory);

  // The same tensors with their memory in the file. Changes to them stay in this process. Throws
  // kOs when the disk is full.
  NamedTensors keep(const NamedTensors& tensors);
  // Moves the state of a module, which stays whole and usable.
  void keep_module(PluginModule& module);
  // A tensor that the checkpoint holds as the model needs it stays where it is.
  at::Tensor leave_in_checkpoint(const StoredTensor& stored);

  // The bytes of a tensor were used and will not be for a while: where they lie in a file they
  // leave this process's memory.
  void done_with(const at::Tensor& tensor) const;

  std::uint64_t bytes() const { return end_; }

 private:
  void note(const void* data, std::uint64_t bytes);

  File file_;
  std::uint64_t end_ = 0;
  std::map<std::uintptr_t, std::uintptr_t> ranges_;  // begin -> end of what lies in a file
};

}  // namespace quanthost
