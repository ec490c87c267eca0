#include "host/base/atomic_output.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <random>
#include <string>

#include "host/base/error.hpp"
#include "host/base/file.hpp"
#include "host/base/log.hpp"

namespace quanthost {
namespace {

namespace fs = std::filesystem;

// ".NAME.quanthost-new-XXXXXXXX" is being written or is an old checkpoint on its way out; "-old-"
// was moved aside.
constexpr std::string_view kNew = ".quanthost-new-";
constexpr std::string_view kOld = ".quanthost-old-";

std::string sibling_prefix(const fs::path& destination, std::string_view role) {
  return fmt::format(".{}{}", destination.filename().string(), role);
}

fs::path sibling(const fs::path& destination, std::string_view role) {
  std::random_device random;
  return destination.parent_path() /
         fmt::format("{}{:08x}", sibling_prefix(destination, role), random());
}

std::vector<fs::path> siblings(const fs::path& destination, std::string_view role) {
  std::vector<fs::path> found;
  const std::string prefix = sibling_prefix(destination, role);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(destination.parent_path(), error)) {
    if (entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path());
  }
  return found;
}

// A descriptor that holds the lock of a file or directory, or -1 when another process holds it.
int try_lock(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return -1;
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return descriptor;
  ::close(descriptor);
  return -1;
}

void remove_leftovers(const fs::path& destination) {
  for (const fs::path& left : siblings(destination, kOld)) {
    std::error_code error;
    if (!fs::exists(destination)) {
      fs::rename(left, destination, error);
      if (!error)
        log::warn("output", "{}: put back after an interrupted save", destination.string());
    } else {
      fs::remove_all(left, error);
    }
  }
  for (const fs::path& left : siblings(destination, kNew)) {
    const int lock = try_lock(left);
    if (lock < 0) continue;  // another process is writing it
    std::error_code error;
    fs::remove_all(left, error);
    ::close(lock);
  }
}

void sync_path(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail_errno(path, "open for flushing", errno);
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (error != 0 && error != EINVAL) fail_errno(path, "flush to the disk", error);
}

void sync_tree(const fs::path& root) {
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file() || entry.is_directory()) sync_path(entry.path());
  }
  sync_path(root);
}

void check_replaceable(const fs::path& destination, OutputKind kind) {
  const auto status = fs::status(destination);
  if (!fs::exists(status)) return;
  if (kind != OutputKind::kDirectory) {
    if (fs::is_regular_file(status)) return;
    fail(ErrorKind::kOs, "{}: exists and is not a file", destination.string());
  }
  if (!fs::is_directory(status)) {
    fail(ErrorKind::kOs, "{}: exists and is not a directory", destination.string());
  }
  const auto is_checkpoint_file = [](const fs::directory_entry& entry) {
    return entry.path().filename() == "config.json" || entry.path().extension() == ".safetensors";
  };
  const fs::directory_iterator entries(destination);
  if (fs::is_empty(destination) || std::any_of(begin(entries), end(entries), is_checkpoint_file))
    return;
  throw Error(
      ErrorKind::kOs,
      fmt::format("{}: the directory is not empty and holds no checkpoint, so it is not replaced",
                  destination.string()),
      "choose another output directory, or remove this one first");
}

void make_directories(const fs::path& directory, OutputKind kind) {
  std::error_code unreadable;
  if (directory.empty() || fs::is_directory(directory, unreadable)) return;
  make_directories(directory.parent_path(), kind);
  const mode_t mode = kind == OutputKind::kPrivateFile ? 0700 : 0777;
  if (::mkdir(directory.c_str(), mode) != 0 && errno != EEXIST)
    fail_errno(directory, "make the directory", errno);
}

// The destination without a symbolic link or a trailing slash, so that its parent is where it
// really lies.
fs::path resolved(const fs::path& destination) {
  if (destination.empty()) throw Error(ErrorKind::kValue, "the output has an empty path");
  fs::path path = fs::absolute(destination).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return fs::weakly_canonical(path);
}

}  // namespace

void need_replaceable(const fs::path& destination, OutputKind kind) {
  check_replaceable(resolved(destination), kind);
}

AtomicOutput::AtomicOutput(const fs::path& destination, OutputKind kind)
    : destination_(resolved(destination)), kind_(kind) {
  make_directories(destination_.parent_path(), kind_);
  remove_leftovers(destination_);
  check_replaceable(destination_, kind_);
  // Between making and locking it, another process may take it for a leftover: then it is made
  // again.
  do {
    if (lock_ >= 0) ::close(lock_);
    make_temporary();
    lock_ = try_lock(temporary_);
  } while (!fs::exists(temporary_));
}

void AtomicOutput::make_temporary() {
  temporary_ = sibling(destination_, kNew);
  if (kind_ == OutputKind::kDirectory) {
    if (::mkdir(temporary_.c_str(), 0777) != 0) fail_errno(temporary_, "make the directory", errno);
    return;
  }
  const mode_t mode = kind_ == OutputKind::kPrivateFile ? 0600 : 0666;
  const int file = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (file < 0) fail_errno(temporary_, "create the file", errno);
  ::close(file);
}

AtomicOutput::~AtomicOutput() {
  if (!committed_) {
    std::error_code ignored;
    fs::remove_all(temporary_, ignored);
  }
  if (lock_ >= 0) ::close(lock_);
}

void AtomicOutput::commit() {
  if (kind_ != OutputKind::kDirectory) {
    sync_path(temporary_);
    if (::rename(temporary_.c_str(), destination_.c_str()) != 0) {
      fail_errno(destination_, "rename the new file into place", errno);
    }
  } else {
    sync_tree(temporary_);
    replace_directory(temporary_, destination_, Replacing::kInOneStep);
  }
  committed_ = true;
  sync_path(destination_.parent_path());
}

void write_private_file(const fs::path& file, std::string_view text) {
  AtomicOutput output(file, OutputKind::kPrivateFile);
  write_text_file(output.path(), text);
  output.commit();
}

void replace_directory(const fs::path& fresh, const fs::path& destination, Replacing how) {
  const auto rename_with = [&](unsigned flags) {
    return ::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, destination.c_str(), flags) == 0;
  };
  std::error_code ignored;
  if (how == Replacing::kInOneStep) {
    if (rename_with(RENAME_NOREPLACE)) return;
    if (rename_with(RENAME_EXCHANGE)) {
      sync_path(
          destination.parent_path());  // the old one may only go once the new one is there for good
      fs::remove_all(fresh, ignored);
      return;
    }
    if (errno != EINVAL && errno != ENOSYS && errno != ENOENT) {
      fail_errno(destination, "exchange the old directory with the new one", errno);
    }
  }
  const fs::path aside = sibling(destination, kOld);
  if (::rename(destination.c_str(), aside.c_str()) != 0 && errno != ENOENT) {
    fail_errno(destination, "move the old directory aside", errno);
  }
  if (::rename(fresh.c_str(), destination.c_str()) != 0) {
    const int error = errno;
    fs::rename(aside, destination, ignored);
    fail_errno(destination, "rename the new directory into place", error);
  }
  sync_path(destination.parent_path());
  fs::remove_all(aside, ignored);
}

fs::path interrupted_output(const fs::path& destination) {
  const auto aside = siblings(resolved(destination), kOld);
  return aside.empty() ? fs::path() : aside.front();
}

}  // namespace quanthost
