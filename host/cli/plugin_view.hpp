// Plugins as the verbs show them: JSON fields and short texts.
#pragma once

#include <string>

#include "host/cli/exit_code.hpp"
#include "host/plugins/plugin_host.hpp"

namespace quanthost::cli {

OrderedJson to_json(const PluginRecord& plugin);
OrderedJson to_json(const UnmetRequirement& unmet);
OrderedJson to_json(const PlannedPackage& package);

OrderedJson quantizer_json(const QuantizerSpec& spec);

// A method with what it requires and its options, a line each.
std::string method_text(const QuantizerSpec& spec);
// "bitsandbytes_4bit, bitsandbytes 0.50.2 (cpu)": methods first, then packages.
std::string provided_text(const Manifest& manifest);

// The exit code for using a plugin that is in this state.
ExitCode exit_code_for(const PluginRecord& plugin);
[[noreturn]] void refuse(
    const PluginRecord& plugin);  // throws CommandError with the state's reason

}  // namespace quanthost::cli
