// `quanthost report`: runs and models as one page of HTML.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "host/base/atomic_output.hpp"
#include "host/base/file.hpp"
#include "host/checkpoint/describe.hpp"
#include "host/cli/model_library.hpp"
#include "host/cli/verbs.hpp"
#include "host/report/page.hpp"

namespace quanthost::cli {
namespace {

namespace fs = std::filesystem;

// What a calibration leaves beside the model it made.
constexpr const char* kCalibrationReport = "gptq_report.json";

struct ReportOptions {
  std::vector<std::string> subjects;
  std::string out = "report.html", title;
  bool no_load = false;
};

// A folder for what the child writes, gone with the object.
class Scratch {
 public:
  Scratch() {
    std::string name = (fs::temp_directory_path() / "quanthost-report-XXXXXX").string();
    if (!::mkdtemp(name.data())) fail_errno(name, "create", errno);
    path_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// This program once more, so that LibTorch's memory and time are those of a load alone. Its
// standard output goes into a file.
int run_self(const std::vector<std::string>& arguments, const fs::path& output) {
  const std::string self = fs::read_symlink("/proc/self/exe").string();
  const pid_t child = ::fork();
  if (child < 0) fail_errno(self, "start", errno);
  if (child == 0) {
    if (!std::freopen(output.c_str(), "w", stdout)) ::_exit(static_cast<int>(ExitCode::kIo));
    std::vector<char*> argv{const_cast<char*>(self.c_str())};
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    ::execv(self.c_str(), argv.data());
    ::_exit(static_cast<int>(ExitCode::kIo));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Json read_json(const fs::path& file) { return parse_json(read_text_file(file), file.string()); }

// Sizes, memory and stages of a model that is loaded for the purpose.
void add_loaded_model(report::RunData& data, const std::string& model) {
  const Scratch scratch;
  const fs::path result = scratch.path() / "load.json", trace = scratch.path() / "trace.json";
  const int code = run_self({"load", model, "--json", "--trace", trace.string()}, result);
  const Json document = read_json(result);
  if (code != 0) {
    const Json error = document.value("error", Json::object());
    throw CommandError(
        static_cast<ExitCode>(code), ErrorKind::kRuntime,
        fmt::format("{}: it cannot be loaded: {}", model, error.value("message", "")),
        error.value("hint", "") + (error.value("hint", "").empty() ? "" : "; ") +
            "--no-load reads its headers alone");
  }
  add_document(data, document, model);
  add_document(data, read_json(trace), trace.string());
}

// The model folders among the subjects: the dense one first, whatever their order, since the other
// one came of it.
std::vector<CheckpointDescription> models_among(const std::vector<std::string>& subjects) {
  std::vector<CheckpointDescription> models;
  for (const std::string& subject : subjects) {
    if (!fs::exists(subject))
      throw CommandError(
          ExitCode::kIo, ErrorKind::kOs, fmt::format("{} does not exist", subject),
          "give a model folder, or a file that load, bench or quantize --json wrote");
    if (fs::is_directory(subject)) models.push_back(describe_checkpoint(subject));
  }
  if (models.size() > 2)
    throw CommandError(ExitCode::kUsage, ErrorKind::kValue,
                       fmt::format("{} model folders were given", models.size()),
                       "a page compares two models at most: a dense one and what came of it");
  std::stable_partition(models.begin(), models.end(),
                        [](const auto& model) { return model.quant_method.empty(); });
  return models;
}

// Of two models the sizes are compared; one alone is loaded to learn what it was and became.
report::RunData gather(const ReportOptions& options) {
  report::RunData data;
  const std::vector<CheckpointDescription> models = models_among(options.subjects);
  const bool load = !options.no_load && models.size() == 1 && !find_model_library().empty();
  for (const CheckpointDescription& model : models)
    load ? add_loaded_model(data, model.directory.string()) : add_model(data, model);
  for (const std::string& subject : options.subjects) {
    if (!fs::is_directory(subject)) {
      add_document(data, read_json(subject), subject);
    } else if (const fs::path told = fs::path(subject) / kCalibrationReport; fs::exists(told)) {
      add_document(data, read_json(told), told.string());
    }
  }
  if (data.empty())
    throw Error(ErrorKind::kValue, fmt::format("{}: nothing to show", options.subjects.front()),
                "a trace needs --trace on a load; see 'quanthost report --help'");
  return data;
}

int write_report(Session& session, const ReportOptions& options) {
  const report::RunData data = gather(options);
  const std::string title =
      options.title.empty()
          ? fs::path(options.subjects.front()).lexically_normal().filename().string()
          : options.title;
  AtomicOutput output(options.out, OutputKind::kFile);
  write_text_file(output.path(), report::html_page(data, title));
  output.commit();
  if (session.json()) {
    session.print_json("report", {{"out", fs::absolute(options.out).string()},
                                  {"layers", data.layers.size()},
                                  {"errors", data.errors.size()},
                                  {"memory_samples", data.memory.size()},
                                  {"stages", data.stages.size()},
                                  {"speeds", data.speeds.size()}});
  } else if (!session.quiet()) {
    session.print(fmt::format("{}: one file, open it in any browser", options.out));
  }
  return 0;
}

}  // namespace

void add_report(Verb parent, Session& session) {
  auto options = std::make_shared<ReportOptions>();
  parent
      .verb(
          "report", "Runs and models as one page of HTML: sizes, errors, memory, stages, speed",
          "  quanthost report models/smollm2-nf4 -o nf4.html\n"
          "  quanthost report models/smollm2 models/smollm2-nf4      sizes before and after\n"
          "  quanthost load models/smollm2 --method bitsandbytes_4bit --json --trace trace.json > "
          "load.json\n"
          "  quanthost report load.json trace.json bench.json -o run.html")
      .group("Models")
      .arguments("subject", options->subjects,
                 "Model folders, traces, and JSON of load, quantize, run, bench or calibration")
      .option("-o,--out", options->out, "The page to write (default: report.html)")
      .option("--title", options->title, "Its title (default: the name of the first subject)")
      .flag("--no-load", options->no_load, "Read headers of models alone, load nothing")
      .run([&session, options] { return write_report(session, *options); });
}

}  // namespace quanthost::cli
