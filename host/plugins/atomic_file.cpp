#include "host/plugins/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

void create_private_directories(const std::filesystem::path& directory) {
  if (directory.empty() || std::filesystem::is_directory(directory)) return;
  create_private_directories(directory.parent_path());
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    fail(ErrorKind::kOs, "{}: {}", directory.string(), std::strerror(errno));
  }
}

}  // namespace

void write_file_atomically(const std::filesystem::path& file, std::string_view content) {
  create_private_directories(file.parent_path());
  std::string temporary = file.string() + ".XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) fail(ErrorKind::kOs, "{}: {}", temporary, std::strerror(errno));
  int error = 0;
  while (!content.empty() && error == 0) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n >= 0) {
      content.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno != EINTR) {
      error = errno;
    }
  }
  if (::close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && ::rename(temporary.c_str(), file.c_str()) != 0) error = errno;
  if (error == 0) return;
  ::unlink(temporary.c_str());
  fail(ErrorKind::kOs, "{}: {}", file.string(), std::strerror(error));
}

}  // namespace quanthost
