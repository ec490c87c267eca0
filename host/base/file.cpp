#include "host/base/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

// Linux moves at most 0x7ffff000 bytes a call.
constexpr std::size_t kLargestTransfer = std::size_t{1} << 30;

std::string hint_for(int error) {
  switch (error) {
    case ENOSPC:
      return "free some space, or choose an output on another disk";
    case EDQUOT:
      return "the disk quota is used up; choose an output elsewhere";
    case EMFILE:
      return "too many open files; raise the limit with `ulimit -n`";
    default:
      return {};
  }
}

// The pages that hold `part`; inwards: those that hold nothing else. madvise wants a mutable
// pointer.
std::span<std::byte> whole_pages(std::span<const std::byte> part, bool inwards) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t before = reinterpret_cast<std::uintptr_t>(part.data()) % page;
  const std::size_t after = (before + part.size()) % page;
  std::byte* const first = const_cast<std::byte*>(part.data()) - before;
  const std::size_t skipped = inwards && before != 0 ? page : 0;
  const std::size_t length = before + part.size() + (!inwards && after != 0 ? page : 0) - after;
  return {first + skipped, length > skipped ? length - skipped : 0};
}

}  // namespace

void fail_errno(const std::filesystem::path& path, std::string_view what, int error) {
  throw Error(
      ErrorKind::kOs,
      fmt::format("{}: cannot {}: {}", path.string(), what, std::generic_category().message(error)),
      hint_for(error));
}

File File::open_for_reading(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) fail_errno(path, "open the file", errno);
  File file(path, descriptor, 0);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) fail_errno(path, "read the file's status", errno);
  if (!S_ISREG(status.st_mode)) {
    fail(ErrorKind::kOs, "{}: not a regular file", path.string());
  }
  file.size_ = static_cast<std::uint64_t>(status.st_size);
  return file;
}

File File::create(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) fail_errno(path, "create the file", errno);
  return File(path, descriptor, 0);
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void File::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = ::pread(descriptor_, out.data(), std::min(out.size(), kLargestTransfer),
                                  static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_errno(path_, fmt::format("read at byte {}", offset), errno);
    if (count == 0) {
      fail(ErrorKind::kOs, "{}: the file ends at byte {}, {} more bytes were expected",
           path_.string(), offset, out.size());
    }
    out = out.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

void File::write_at(std::uint64_t offset, std::span<const std::byte> data) const {
  while (!data.empty()) {
    const ssize_t count =
        ::pwrite(descriptor_, data.data(), std::min(data.size(), kLargestTransfer),
                 static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      fail_errno(path_, fmt::format("write {} bytes at byte {}", data.size(), offset),
                 count < 0 ? errno : EIO);
    }
    data = data.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

void File::reserve(std::uint64_t bytes) const {
  if (bytes == 0) return;
  int error = 0;
  do {
    error = ::fallocate(descriptor_, 0, 0, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  } while (error == EINTR);
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    fail_errno(path_, fmt::format("reserve {} bytes", bytes), error);
  }
}

void File::sync() const {
  // EINVAL: something that cannot be synchronized, such as a device.
  if (::fsync(descriptor_) != 0 && errno != EINVAL) fail_errno(path_, "flush to the disk", errno);
}

void File::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  if (descriptor >= 0 && ::close(descriptor) != 0) fail_errno(path_, "close the file", errno);
}

MappedFile::MappedFile(const File& file) {
  if (file.size() == 0) return;  // mmap refuses a length of zero
  // Whoever changes what is mapped changes a copy of his own; nothing is reserved for that ahead.
  void* const address = ::mmap(nullptr, file.size(), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_NORESERVE, file.descriptor(), 0);
  if (address == MAP_FAILED) fail_errno(file.path(), "map the file into memory", errno);
  bytes_ = {static_cast<const std::byte*>(address), file.size()};
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::will_need(std::span<const std::byte> part) const noexcept {
  const std::span<std::byte> pages = whole_pages(part, /*inwards=*/false);
  if (!pages.empty()) ::madvise(pages.data(), pages.size(), MADV_WILLNEED);
}

void MappedFile::done_with(std::span<const std::byte> part) const noexcept {
  // Inwards: the pages at the edges may belong to a neighbour that is still in use.
  const std::span<std::byte> pages = whole_pages(part, /*inwards=*/true);
  if (!pages.empty()) ::madvise(pages.data(), pages.size(), MADV_DONTNEED);
}

std::string read_text_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  const File file = File::open_for_reading(path);
  if (file.size() > max_bytes) {
    fail(ErrorKind::kValue, "{}: the file has {} bytes, at most {} are accepted", path.string(),
         file.size(), max_bytes);
  }
  std::string text(file.size(), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  File file = File::create(path);
  file.write_at(0, std::as_bytes(std::span(text)));
  file.sync();
  file.close();
}

}  // namespace quanthost
