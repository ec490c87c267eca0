#include "host/checkpoint/check.hpp"

#include <algorithm>
#include <memory>

#include "host/base/sha256.hpp"
#include "host/checkpoint/known_hash.hpp"
#include "host/cli/model_verbs/model_verb.hpp"

namespace quanthost::cli {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> tensor_files(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

// Holds files against the hashes that their download noted. Gives the number of those that had one.
std::uint64_t check_hashes(const fs::path& path, CheckReport& report) {
  std::uint64_t checked = 0;
  for (const fs::path& file : tensor_files(path)) {
    const std::optional<std::string> wanted = known_sha256(file);
    if (!wanted) continue;
    ++checked;
    const std::string found = sha256_hex(File::open_for_reading(fs::canonical(file)));
    if (found == *wanted) continue;
    report.findings.push_back(
        {Severity::kError, file.filename().string(), "",
         fmt::format("its SHA-256 is {}, that of what was downloaded is {}: its bytes have changed "
                     "since",
                     found, *wanted)});
  }
  return checked;
}

int check(Session& session, const std::string& path) {
  CheckReport report = check_checkpoint(path, progress_on_stderr(session, "checking"));
  const std::uint64_t hashed = check_hashes(path, report);
  const int code = report.sound() ? 0 : static_cast<int>(ExitCode::kModelInvalid);
  if (session.json()) {
    OrderedJson findings = OrderedJson::array();
    for (const Finding& f : report.findings)
      findings.push_back({{"severity", f.severity == Severity::kError ? "error" : "warning"},
                          {"file", f.file},
                          {"tensor", f.tensor},
                          {"message", f.message}});
    session.print_json("check", {{"sound", report.sound()},
                                 {"files", report.files},
                                 {"tensors", report.tensors},
                                 {"bytes", report.bytes},
                                 {"files_with_known_hash", hashed},
                                 {"findings", findings}});
    return code;
  }
  for (const Finding& f : report.findings) {
    const std::string where = f.tensor.empty() ? f.file : fmt::format("{}: {}", f.file, f.tensor);
    session.print(fmt::format("{} {}: {}",
                              f.severity == Severity::kError ? session.bad("error  ") : "warning",
                              where, f.message));
  }
  session.print(
      fmt::format("{}: {} files, {} tensors, {} bytes read, {} files with a known hash; {}", path,
                  report.files, report.tensors, report.bytes, hashed,
                  report.sound() ? session.good("sound") : session.bad("not sound")));
  return code;
}

}  // namespace

void add_check(Verb root, Session& session) {
  auto path = std::make_shared<std::string>();
  model_verb(root, "check", "  quanthost check models/smollm2")
      .argument("model", *path, "A model folder or a .safetensors file")
      .run([&session, path] { return check(session, *path); });
}

}  // namespace quanthost::cli
