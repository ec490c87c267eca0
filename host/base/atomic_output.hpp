// An output that appears whole or not at all: written beside its destination, flushed, then renamed
// over it.
#pragma once

#include <filesystem>
#include <string_view>

namespace quanthost {

enum class OutputKind {
  kFile,
  kPrivateFile,  // readable by this user alone, as are directories that have to be made for it
  kDirectory,
};

// Throws kOs where an AtomicOutput would: to be asked before hours of work. Nothing is changed.
void need_replaceable(const std::filesystem::path& destination, OutputKind kind);

// The new output is built at path(); commit() puts it in the destination's place. Until then, and
// when the process is killed at any point, the destination stays as it was. Left without commit (an
// exception, a full disk), the partial output is removed. What killed processes left behind is
// recognized by its name and by the lock that nobody holds any more, and is removed when the next
// output for the same destination begins.
class AtomicOutput {
 public:
  // An existing directory is replaced only when it is empty or holds a checkpoint (config.json or
  // *.safetensors), so that a mistyped destination costs nobody their files. Missing parent
  // directories are made.
  AtomicOutput(const std::filesystem::path& destination, OutputKind kind);
  AtomicOutput(const AtomicOutput&) = delete;
  AtomicOutput& operator=(const AtomicOutput&) = delete;
  ~AtomicOutput();

  const std::filesystem::path& destination() const { return destination_; }
  // Where to write: a directory that exists, or a file that does not hold anything yet.
  const std::filesystem::path& path() const { return temporary_; }

  // Flushes files and directories to the disk and renames. An old directory is exchanged with the
  // new one in one step; where the file system has no such step it is moved aside first, and a kill
  // between the two renames leaves it there, from where the next AtomicOutput for this destination
  // puts it back.
  void commit();

 private:
  void make_temporary();

  std::filesystem::path destination_;
  std::filesystem::path temporary_;
  OutputKind kind_;
  int lock_ = -1;  // a descriptor of the temporary output; its lock says that somebody is at work
  bool committed_ = false;
};

// Replaces a small file whole: a kPrivateFile with this text. Throws kOs.
void write_private_file(const std::filesystem::path& file, std::string_view text);

enum class Replacing {
  kInOneStep,      // by exchange; by moving aside where the file system cannot exchange
  kByMovingAside,  // the old one is renamed, the new one takes its name, the old one is removed
};

// Puts the directory `fresh` in the place of `destination`, its sibling, which may exist or not.
// When it throws, the old directory is where it was.
void replace_directory(const std::filesystem::path& fresh, const std::filesystem::path& destination,
                       Replacing how);

// A directory that a kill between the two renames left aside, or an empty path.
std::filesystem::path interrupted_output(const std::filesystem::path& destination);

}  // namespace quanthost
