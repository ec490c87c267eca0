#include "host/checkpoint/check.hpp"

#include <memory>

#include "host/cli/model_verbs/model_verb.hpp"

namespace quanthost::cli {
namespace {

int check(Session& session, const std::string& path) {
  const CheckReport report = check_checkpoint(path, progress_on_stderr(session, "checking"));
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
                                 {"findings", findings}});
    return code;
  }
  for (const Finding& f : report.findings) {
    const std::string where = f.tensor.empty() ? f.file : fmt::format("{}: {}", f.file, f.tensor);
    session.print(fmt::format("{} {}: {}",
                              f.severity == Severity::kError ? session.bad("error  ") : "warning",
                              where, f.message));
  }
  session.print(fmt::format("{}: {} files, {} tensors, {} bytes read; {}", path, report.files,
                            report.tensors, report.bytes,
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
