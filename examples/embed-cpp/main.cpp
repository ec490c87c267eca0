// embed_cpp MODEL [PROMPT]: quantizes a model to 4 bits while it loads, with a progress bar, and
// streams an answer. Ctrl-C stops whatever is going on.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <quanthost/host.hpp>

namespace {

quanthost::CancelSource g_interrupt;

void on_interrupt(int) { g_interrupt.cancel(); }

bool draw_bar(const quanthost::ProgressReport& now) {
  if (!isatty(STDERR_FILENO) || now.total == 0) return true;
  constexpr int kWidth = 40;
  const int filled = static_cast<int>(kWidth * now.done / now.total);
  std::fprintf(stderr, "\r%-8s [%.*s%*s] %3.0f MB/s\033[K%s", now.stage.c_str(), filled,
               "########################################", kWidth - filled, "",
               now.units_per_second / 1e6, now.stage_ended ? "\n" : "");
  return true;  // go on
}

quanthost::Model load(quanthost::Host& host, const char* folder) {
  quanthost::LoadOptions options;
  options.method = "bitsandbytes_4bit";
  options.settings = {{"bnb_4bit_quant_type", "nf4"}};
  options.progress = draw_bar;
  options.cancel = g_interrupt;
  return host.load(folder, options);
}

void answer(quanthost::Model& model, const char* question) {
  quanthost::GenerateOptions options;
  options.greedy = true;
  options.max_new_tokens = 48;
  options.cancel = g_interrupt;
  options.on_text = [](std::string_view text, std::int64_t) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
    return true;  // go on
  };
  const quanthost::Generation result = model.generate({{"user", question}}, options);
  std::printf("\n");
  if (result.stop_reason == quanthost::StopReason::kCancelled)
    std::fprintf(stderr, "stopped after %zu tokens\n", result.tokens.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: embed_cpp MODEL [PROMPT]\n");
    return 2;
  }
  std::signal(SIGINT, on_interrupt);
  try {
    quanthost::Host host;
    quanthost::Model model = load(host, argv[1]);
    const quanthost::ModelInfo info = model.info();
    std::fprintf(stderr, "%s with %s: %.1f MB in %.2f s\n", info.architecture.c_str(),
                 info.method.c_str(), static_cast<double>(info.model_bytes) / 1e6,
                 info.load_seconds);
    answer(model, argc > 2 ? argv[2] : "What is the capital of France?");
    return g_interrupt.cancelled() ? 130 : 0;
  } catch (const quanthost::Error& error) {
    std::fprintf(stderr, "%s: %s\n", std::string(quanthost::name_of(error.kind())).c_str(),
                 error.message().c_str());
    if (!error.hint().empty()) std::fprintf(stderr, "  what to do: %s\n", error.hint().c_str());
    return error.kind() == quanthost::ErrorKind::kCancelled ? 130 : 1;
  }
}
