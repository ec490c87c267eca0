// How to read a checkpoint into memory of one's own: pread through the page cache, pread after the
// piece was announced (POSIX_FADV_WILLNEED), or O_DIRECT past the cache; with the file in the cache
// and without.
//
//     read_paths FILE... [--threads 2] [--rounds 3]
//
// Every round reads all files once each way, in pieces of 32 MiB into fresh memory, as the load
// pipeline does. Prints medians: GB/s by the clock, CPU seconds, and the share of the files that
// the cache held before and after.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::uint64_t kPiece = std::uint64_t{32} << 20;
constexpr std::uint64_t kBlock = 4096;  // what O_DIRECT wants offsets, sizes and memory to divide

[[noreturn]] void stop(const std::string& what) {
  std::perror(what.c_str());
  std::exit(1);
}

struct Piece {
  std::string file;
  std::uint64_t offset, bytes;
};

struct Opened {
  Opened(const std::string& file, int flags) : fd(::open(file.c_str(), O_RDONLY | flags)) {
    if (fd < 0) stop(file);
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  ~Opened() { ::close(fd); }
  int fd;
};

std::uint64_t size_of(const std::string& file) {
  struct stat status;
  if (::stat(file.c_str(), &status) != 0) stop(file);
  return static_cast<std::uint64_t>(status.st_size);
}

// Of all files, in [0, 1].
double cached_share(const std::vector<std::string>& files) {
  std::uint64_t cached = 0, pages = 0;
  for (const std::string& file : files) {
    const Opened opened(file, 0);
    const std::uint64_t bytes = size_of(file);
    void* const memory = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, opened.fd, 0);
    if (memory == MAP_FAILED) stop(file);
    std::vector<unsigned char> resident((bytes + kBlock - 1) / kBlock);
    if (::mincore(memory, bytes, resident.data()) != 0) stop("mincore");
    for (const unsigned char page : resident) cached += page & 1;
    pages += resident.size();
    ::munmap(memory, bytes);
  }
  return static_cast<double>(cached) / static_cast<double>(pages);
}

void drop_from_cache(const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    const Opened opened(file, 0);
    ::fsync(opened.fd);
    ::posix_fadvise(opened.fd, 0, 0, POSIX_FADV_DONTNEED);
  }
}

enum class Way { kPread, kAnnounced, kDirect };

void read_piece(const Piece& piece, Way way) {
  const bool direct = way == Way::kDirect;
  const Opened opened(piece.file, direct ? O_DIRECT : 0);
  if (way == Way::kAnnounced) {
    ::posix_fadvise(opened.fd, static_cast<off_t>(piece.offset), static_cast<off_t>(piece.bytes),
                    POSIX_FADV_WILLNEED);
  }
  void* const memory =
      ::mmap(nullptr, kPiece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) stop("mmap");
  ::madvise(memory, kPiece, MADV_HUGEPAGE);
  // Direct reads go up to the end of the block that the file ends in.
  const std::uint64_t wanted = direct ? (piece.bytes + kBlock - 1) / kBlock * kBlock : piece.bytes;
  for (std::uint64_t done = 0; done < piece.bytes;) {
    const ssize_t count = ::pread(opened.fd, static_cast<char*>(memory) + done, wanted - done,
                                  static_cast<off_t>(piece.offset + done));
    if (count <= 0) stop(piece.file);
    done += static_cast<std::uint64_t>(count);
  }
  ::munmap(memory, kPiece);
}

double cpu_seconds() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Figures {
  std::vector<double> seconds, cpu, before, after;
};

void read_all(const std::vector<Piece>& pieces, Way way, unsigned threads, Figures& figures) {
  std::atomic<std::size_t> next = 0;
  const double cpu = cpu_seconds();
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::thread> readers;
  for (unsigned i = 0; i < threads; ++i) {
    readers.emplace_back([&] {
      for (std::size_t at = next++; at < pieces.size(); at = next++) read_piece(pieces[at], way);
    });
  }
  for (std::thread& reader : readers) reader.join();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - began;
  figures.seconds.push_back(taken.count());
  figures.cpu.push_back(cpu_seconds() - cpu);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<std::string> files;
  unsigned threads = 2, rounds = 3;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    if (argument == "--threads" && i + 1 < count) {
      threads = static_cast<unsigned>(std::atoi(arguments[++i]));
    } else if (argument == "--rounds" && i + 1 < count) {
      rounds = static_cast<unsigned>(std::atoi(arguments[++i]));
    } else {
      files.push_back(argument);
    }
  }
  if (files.empty() || threads == 0 || rounds == 0) {
    std::fprintf(stderr, "usage: read_paths FILE... [--threads 2] [--rounds 3]\n");
    return 2;
  }
  std::vector<Piece> pieces;
  std::uint64_t total = 0;
  for (const std::string& file : files) {
    const std::uint64_t bytes = size_of(file);
    for (std::uint64_t at = 0; at < bytes; at += kPiece)
      pieces.push_back({file, at, std::min(kPiece, bytes - at)});
    total += bytes;
  }
  std::map<std::string, Figures> results;
  for (unsigned round = 0; round < rounds; ++round) {
    for (const bool cold : {true, false}) {
      for (const auto& [name, way] : {std::pair{"pread", Way::kPread},
                                      {"announced", Way::kAnnounced},
                                      {"O_DIRECT", Way::kDirect}}) {
        if (cold) {
          drop_from_cache(files);
        } else {
          Figures unused;
          read_all(pieces, Way::kPread, threads, unused);
        }
        Figures& figures = results[std::string(cold ? "cold " : "warm ") + name];
        figures.before.push_back(cached_share(files));
        read_all(pieces, way, threads, figures);
        figures.after.push_back(cached_share(files));
      }
    }
  }
  std::printf("%.2f GB, %u threads, medians of %u rounds\n", static_cast<double>(total) / 1e9,
              threads, rounds);
  for (const auto& [name, figures] : results) {
    const double seconds = median(figures.seconds);
    std::printf(
        "%-14s %7.2f GB/s  %6.3f s by the clock  %6.3f s of CPU  cached %3.0f %% before, "
        "%3.0f %% after\n",
        name.c_str(), static_cast<double>(total) / seconds / 1e9, seconds, median(figures.cpu),
        100 * median(figures.before), 100 * median(figures.after));
  }
}
