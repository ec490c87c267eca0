// What the verbs that need a model share: their options, progress on stderr, Ctrl-C, and opening a
// model.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "host/base/progress.hpp"
#include "host/cli/option_values.hpp"
#include "host/cli/session.hpp"
#include "host/load/cancel.hpp"

namespace quanthost::cli {

void add_convert(Verb root, Session& session);
void add_inspect(Verb root, Session& session);
void add_check(Verb root, Session& session);
void add_tokenize(Verb root, Session& session);
void add_detokenize(Verb root, Session& session);
void add_forward(Verb root, Session& session);
void add_run(Verb root, Session& session);
void add_load(Verb root, Session& session);
void add_plan(Verb root, Session& session);
void add_estimate(Verb root, Session& session);
void add_quantize(Verb root, Session& session);
void add_dequantize(Verb root, Session& session);
void add_ppl(Verb root, Session& session);
void add_bench(Verb root, Session& session);

// A verb of model_verb_list(), with its summary from there.
Verb model_verb(Verb root, const std::string& name, const std::string& examples);

// Ctrl-C asks work to stop; a second one ends the process at once.
void watch_interrupts();
bool interrupted();
const CancelToken& interrupt_token();  // cancelled by Ctrl-C
[[noreturn]] void throw_interrupted();

// A bar with rate and ETA on a terminal, a line every ten seconds elsewhere, nothing with --json or
// --quiet. Returns false to its caller once Ctrl-C was pressed.
ByteProgress progress_on_stderr(const Session& session, std::string what,
                                std::string unit = "bytes");

std::uint64_t peak_rss_bytes();

// Throws CheckpointError when there is no config.json.
std::filesystem::path model_folder(const std::string& path);

}  // namespace quanthost::cli
