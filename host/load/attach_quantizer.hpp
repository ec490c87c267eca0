// What every way into a quantized model does once its plugins are resolved.
#pragma once

#include "host/load/loader.hpp"

namespace quanthost {

// Gives `loaded` its session and its quantizer. Of the options: progress, trace and limits.
void attach_quantizer(LoadedModel& loaded, const OpenedPlan& opened, MethodConfig config,
                      const LoadOptions& options);

// Logs them and keeps them with the model.
void report_diagnostics(LoadedModel& loaded, std::vector<Diagnostic> diagnostics);

// Before a plugin is opened: what this host offers plugins.
void register_services();

}  // namespace quanthost
