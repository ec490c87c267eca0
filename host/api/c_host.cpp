// The C functions on errors, cancelling and hosts, over the C++ API.
#include <quanthost/abi.h>

#include "host/api/c_support.hpp"

namespace quanthost::api {

quanthost_status fail_with(quanthost_error** out, ErrorKind kind, const char* message,
                           const char* remedy) noexcept {
  if (out) {
    try {
      *out = new quanthost_error{kind, message, remedy};
    } catch (...) {
      *out = nullptr;  // no memory for the story; the kind is still told
    }
  }
  return static_cast<quanthost_status>(kind);
}

ProgressCallback progress_callback(quanthost_progress_fn fn, void* user) {
  if (!fn) return {};
  return [fn, user](const ProgressReport& now) {
    const quanthost_progress report{
        sizeof(quanthost_progress), now.stage_ended, now.stage.c_str(), now.unit.c_str(),
        now.current.c_str(),        now.done,        now.total,         now.seconds,
        now.units_per_second,       now.seconds_left};
    return fn(user, &report) == 0;
  };
}

namespace {

HostOptions host_options_of(const quanthost_host_options* theirs) {
  const quanthost_host_options o = read_options(theirs, "quanthost_host_options");
  refuse_unknown_flags(
      o.flags, QUANTHOST_HOST_NO_CACHE | QUANTHOST_HOST_NO_ISOLATION | QUANTHOST_HOST_HAS_LOG_LEVEL,
      "quanthost_host_options");
  HostOptions out;
  for (std::uint64_t i = 0; i < o.plugin_path_count; ++i)
    out.plugin_paths.emplace_back(
        need_text((&need(o.plugin_paths, "plugin_paths"))[i], "an entry of plugin_paths"));
  out.trust = text_or(o.trust);
  out.use_cache = !(o.flags & QUANTHOST_HOST_NO_CACHE);
  out.isolate_first_use = !(o.flags & QUANTHOST_HOST_NO_ISOLATION);
  if (o.probe_seconds > 0)
    out.probe_time_limit = std::chrono::milliseconds(
        static_cast<std::int64_t>(std::min(o.probe_seconds, 3600.0) * 1000));
  if (o.flags & QUANTHOST_HOST_HAS_LOG_LEVEL) out.log_level = static_cast<LogLevel>(o.log_level);
  if (o.log) {
    out.log = [fn = o.log, user = o.log_user](LogLevel level, std::string_view source,
                                              std::string_view message) {
      fn(user, static_cast<std::int32_t>(level), std::string(source).c_str(),
         std::string(message).c_str());
    };
  }
  return out;
}

}  // namespace
}  // namespace quanthost::api

using namespace quanthost;
using namespace quanthost::api;

extern "C" {

const char* quanthost_version(void) { return QUANTHOST_VERSION; }

void quanthost_abi_version(uint32_t* major, uint32_t* minor) {
  if (major) *major = QH_ABI_MAJOR;
  if (minor) *minor = QH_ABI_MINOR;
}

quanthost_status quanthost_set_threads(int32_t count, quanthost_error** error) {
  return c_call(error, [&] { set_threads(count); });
}

quanthost_status quanthost_error_kind(const quanthost_error* error) {
  return error ? static_cast<quanthost_status>(error->kind) : QUANTHOST_OK;
}
const char* quanthost_error_kind_name(const quanthost_error* error) {
  return error ? name_of(error->kind).data() : "";
}
const char* quanthost_error_message(const quanthost_error* error) {
  return error ? error->message.c_str() : "";
}
const char* quanthost_error_remedy(const quanthost_error* error) {
  return error ? error->remedy.c_str() : "";
}
void quanthost_error_free(quanthost_error* error) { delete error; }

quanthost_status quanthost_cancel_create(quanthost_cancel** out, quanthost_error** error) {
  return c_call(error, [&] {
    quanthost_cancel*& handle = need(out, "out");
    handle = nullptr;
    handle = new quanthost_cancel;
  });
}
void quanthost_cancel_request(quanthost_cancel* cancel) {
  if (cancel) cancel->source.cancel();
}
int32_t quanthost_cancel_requested(const quanthost_cancel* cancel) {
  return cancel && cancel->source.cancelled();
}
void quanthost_cancel_reset(quanthost_cancel* cancel) {
  if (cancel) cancel->source.reset();
}
void quanthost_cancel_free(quanthost_cancel* cancel) { delete cancel; }

quanthost_status quanthost_host_create(const quanthost_host_options* options, quanthost_host** out,
                                       quanthost_error** error) {
  return c_call(error, [&] {
    quanthost_host*& handle = need(out, "out");
    handle = nullptr;
    handle = new quanthost_host{Host(host_options_of(options))};
  });
}
void quanthost_host_free(quanthost_host* host) { delete host; }

quanthost_status quanthost_host_plugins(quanthost_host* host, quanthost_plugin_fn fn, void* user,
                                        quanthost_error** error) {
  return c_call(error, [&] {
    need(fn, "fn");
    for (const PluginInfo& p : need(host, "host").host.plugins()) {
      const auto methods = pointers_to(p.methods), packages = pointers_to(p.packages);
      const quanthost_plugin_info info{sizeof(quanthost_plugin_info),
                                       static_cast<uint32_t>(methods.size()),
                                       p.id.c_str(),
                                       p.version.c_str(),
                                       p.abi.c_str(),
                                       p.description.c_str(),
                                       p.file.c_str(),
                                       p.state.c_str(),
                                       p.reason.c_str(),
                                       p.hint.c_str(),
                                       methods.data(),
                                       packages.data(),
                                       packages.size()};
      if (fn(user, &info) != 0) return;
    }
  });
}

quanthost_status quanthost_host_methods(quanthost_host* host, quanthost_method_fn fn, void* user,
                                        quanthost_error** error) {
  return c_call(error, [&] {
    need(fn, "fn");
    for (const MethodInfo& m : need(host, "host").host.methods()) {
      const auto packages = pointers_to(m.required_packages);
      std::vector<quanthost_method_option> options;
      options.reserve(m.options.size());
      for (const MethodOption& o : m.options)
        options.push_back({sizeof(quanthost_method_option), 0, o.name.c_str(), o.type.c_str(),
                           o.default_value.c_str(), o.help.c_str()});
      const quanthost_method_info info{sizeof(quanthost_method_info),
                                       m.requires_calibration,
                                       m.name.c_str(),
                                       m.quant_method.c_str(),
                                       m.plugin.c_str(),
                                       packages.data(),
                                       packages.size(),
                                       options.data(),
                                       options.size()};
      if (fn(user, &info) != 0) return;
    }
  });
}

quanthost_status quanthost_host_search_path(quanthost_host* host, quanthost_path_fn fn, void* user,
                                            quanthost_error** error) {
  return c_call(error, [&] {
    need(fn, "fn");
    for (const SearchFolder& folder : need(host, "host").host.search_path())
      if (fn(user, folder.path.c_str(), folder.origin.c_str()) != 0) return;
  });
}

}  // extern "C"
