#include "host/plugins/plugin_call.hpp"

#include <quanthost/abi/services.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "host/base/log.hpp"

namespace quanthost {
namespace {

constexpr std::uint64_t kMaxMessage = 1024 * 1024;

struct Services {
  std::mutex mutex;
  std::map<std::string, const void*, std::less<>> tables;
};

void set_error(qh_host*, qh_status kind, qh_str message, qh_str hint) {
  leave_call_error(static_cast<ErrorKind>(kind), from_abi(message), from_abi(hint));
}

void write_log(qh_host* host, int32_t level, qh_str message) {
  try {
    log::write(static_cast<log::Level>(std::clamp<int32_t>(level, QH_LOG_TRACE, QH_LOG_ERROR)),
               host ? host->plugin_id : std::string("plugin"), from_abi(message));
  } catch (const std::exception&) {
    return;  // a message that cannot be written is dropped
  }
}

int32_t log_enabled(qh_host*, int32_t level) {
  return level >= static_cast<int32_t>(log::level()) ? 1 : 0;
}

constexpr qh_log_api kLogApi{sizeof(qh_log_api), 0, write_log, log_enabled};

Services& services() {
  static Services* instance = [] {
    auto* made = new Services;  // never destroyed: plugins may ask while the process ends
    made->tables.emplace(QH_LOG_ID, &kLogApi);
    return made;
  }();
  return *instance;
}

const void* get_service(qh_host*, qh_str id) {
  std::lock_guard lock(services().mutex);
  const auto found = services().tables.find(from_abi(id));
  return found == services().tables.end() ? nullptr : found->second;
}

}  // namespace

std::string_view from_abi(qh_str text) {
  return text.data ? std::string_view(text.data, std::min(text.size, kMaxMessage))
                   : std::string_view{};
}

const qh_host_api& host_api() {
  static constexpr qh_host_api kApi{sizeof(qh_host_api), 0, set_error, get_service};
  return kApi;
}

void register_service(std::string id, const void* table) {
  std::lock_guard lock(services().mutex);
  services().tables[std::move(id)] = table;
}

void throw_escaped_exception(std::string_view where, std::string_view what) {
  throw Error(ErrorKind::kInternal,
              fmt::format("{}: an exception left the plugin: {}", where, what),
              "tell the plugin's author: no exception may cross the plugin's edge");
}

}  // namespace quanthost
