#include "host/load/calibration/journal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>

#include "host/base/atomic_output.hpp"
#include "host/checkpoint/safetensors_file.hpp"
#include "host/checkpoint/safetensors_writer.hpp"
#include "host/load/host_memory.hpp"
#include "host/load/tensor_bridge.hpp"

namespace quanthost {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHead = "journal.json";
constexpr const char* kVersionKey = "quanthost_journal";
constexpr int kVersion = 2;
constexpr const char* kTensor = "value";
constexpr const char* kKeyMetadata = "key";
constexpr std::size_t kLongestName = 180;  // bytes, with room for what AtomicOutput adds

bool plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

// A file name for any key: other characters as %XX.
std::string escaped(const std::string& key) {
  std::string name;
  for (const char c : key) {
    if (plain(c) && !(name.empty() && c == '.')) {
      name += c;
    } else {
      name += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  if (name.empty() || name.size() > kLongestName) {
    fail(ErrorKind::kValue, "journal: a key needs 1 to {} characters, \"{}\" does not have that",
         kLongestName, key);
  }
  return name;
}

// A run that was killed before its journal.json was in place leaves that file's temporary name.
bool holds_other_files(const fs::path& directory) {
  if (!fs::exists(directory)) return false;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (!entry.path().filename().string().starts_with(fmt::format(".{}.", kHead))) return true;
  }
  return false;
}

}  // namespace

Journal::Journal(const fs::path& directory, const Json& run) : directory_(fs::absolute(directory)) {
  const fs::path head = directory_ / kHead;
  resumed_ = fs::exists(head);
  if (!resumed_ && holds_other_files(directory_)) {
    throw Error(ErrorKind::kValue,
                fmt::format("{}: is no journal: the directory holds other files and no {}",
                            directory_.string(), kHead),
                "give a directory of its own, which need not exist");
  }
  fs::create_directories(directory_);
  lock_.take(directory_);
  if (resumed_) {
    check_owner(run);
    return;
  }
  AtomicOutput output(head, OutputKind::kFile);
  write_text_file(output.path(), Json{{kVersionKey, kVersion}, {"run", run}}.dump(2) + "\n");
  output.commit();
}

Journal::Lock::~Lock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Journal::Lock::take(const fs::path& directory) {
  descriptor_ = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor_ < 0) fail_errno(directory, "open the journal", errno);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
  throw Error(ErrorKind::kRuntime,
              fmt::format("{}: another run is using this journal", directory.string()),
              "wait for it, or give this run a journal of its own");
}

void Journal::check_owner(const Json& run) const {
  const fs::path head = directory_ / kHead;
  const Json stored = parse_json(read_text_file(head), head.string());
  if (stored.value(kVersionKey, 0) != kVersion) {
    throw Error(ErrorKind::kValue,
                fmt::format("{}: was written by another version of quanthost", head.string()),
                "remove the directory to start again");
  }
  const Json theirs = stored.value("run", Json::object());
  std::string differing;
  for (const auto& [part, value] : run.items()) {
    if (theirs.value(part, Json()) == value) continue;
    differing += (differing.empty() ? "" : ", ") + part;
  }
  if (differing.empty()) return;
  throw Error(
      ErrorKind::kValue,
      fmt::format("{}: the journal belongs to another run: its {} differ{}", directory_.string(),
                  differing, differing.find(',') == std::string::npos ? "s" : ""),
      fmt::format("give this run a journal of its own, or remove the directory to start "
                  "again; {} says what the journal was made with",
                  kHead));
}

fs::path Journal::file_of(const std::string& key) const {
  return directory_ / (escaped(key) + ".safetensors");
}

void Journal::write(const std::string& key, const at::Tensor& value) {
  const at::Tensor held = value.cpu().contiguous();
  AtomicOutput output(file_of(key), OutputKind::kFile);
  SafetensorsWriter writer(output.path(),
                           {{kTensor, to_dtype(held.scalar_type()), held.sizes().vec()}},
                           {{kKeyMetadata, key}});
  writer.write(kTensor, {static_cast<const std::byte*>(held.const_data_ptr()), held.nbytes()});
  writer.finish();
  output.commit();
}

std::optional<at::Tensor> Journal::read(const std::string& key) const {
  const fs::path path = file_of(key);
  if (!fs::exists(path)) return std::nullopt;
  try {
    const SafetensorsFile file = SafetensorsFile::open(path);
    const TensorInfo* info = file.find(kTensor);
    const auto written_for = file.metadata().find(kKeyMetadata);
    if (!info || written_for == file.metadata().end() || written_for->second != key)
      fail(ErrorKind::kValue, "{}: is no entry of a journal", path.string());
    at::Tensor value = empty_host_tensor(info->shape, to_scalar_type(info->dtype));
    file.read(*info, {static_cast<std::byte*>(value.data_ptr()), value.nbytes()});
    return value;
  } catch (const Error& e) {
    throw Error(e.kind(), fmt::format("journal: {}", e.message()),
                "remove this file, and the run works its part out again");
  }
}

}  // namespace quanthost
