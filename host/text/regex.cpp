#include "host/text/regex.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "host/base/error.hpp"
#include "host/text/regex_syntax.hpp"

namespace quanthost::text {
namespace {

constexpr std::uint32_t kMatchLimit = 10'000'000;        // backtracking steps of one search
constexpr std::size_t kJitStackBytes = 8 * 1024 * 1024;  // grown on demand

std::string error_text(int code) {
  char buffer[256];
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(buffer), sizeof buffer);
  return buffer;
}

// What a search writes to; one a thread.
struct Workspace {
  Workspace() {
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~Workspace() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 * 1024, kJitStackBytes, nullptr);
};

Workspace& workspace() {
  thread_local Workspace instance;
  return instance;
}

}  // namespace

struct Regex::Code {
  explicit Code(pcre2_code* compiled)
      : handle(compiled), jit(pcre2_jit_compile(handle, PCRE2_JIT_COMPLETE) == 0) {}
  ~Code() { pcre2_code_free(handle); }
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;

  pcre2_code* handle;
  bool jit;  // false on machines without a PCRE2 code generator
};

Regex::Regex(std::string_view oniguruma_pattern) {
  require_utf8(oniguruma_pattern);
  const std::string pattern = pcre2_pattern(oniguruma_pattern);
  int code = 0;
  PCRE2_SIZE offset = 0;
  // Ruby's ^ and $ match at every line.
  pcre2_code* compiled = pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code, &offset, nullptr);
  if (!compiled) {
    fail(ErrorKind::kValue, "the regular expression {:?} is not valid: {} (at {} of {:?})",
         oniguruma_pattern, error_text(code), offset, pattern);
  }
  code_ = std::make_shared<const Code>(compiled);
}

bool Regex::search(std::string_view text, std::size_t from, Match& match) const {
  Workspace& work = workspace();
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const int count = code_->jit ? pcre2_jit_match(code_->handle, subject, text.size(), from,
                                                 PCRE2_NO_UTF_CHECK, work.data, work.context)
                               : pcre2_match(code_->handle, subject, text.size(), from,
                                             PCRE2_NO_UTF_CHECK, work.data, work.context);
  if (count == PCRE2_ERROR_NOMATCH) return false;
  if (count < 0) {
    fail(ErrorKind::kRuntime,
         "a regular expression of the tokenizer gave up at byte {} of the text: {}", from,
         error_text(count));
  }
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(work.data);
  match = {bounds[0], bounds[1]};
  return true;
}

}  // namespace quanthost::text
