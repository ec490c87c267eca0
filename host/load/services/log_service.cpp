// qh.log/1: what plugins say, in the host's log.
#include "host/base/log.hpp"
#include "host/load/abi_strings.hpp"
#include "host/load/services/services.hpp"

namespace quanthost::services {
namespace {

log::Level to_level(std::int32_t level) {
  return static_cast<log::Level>(std::clamp<std::int32_t>(level, QH_LOG_TRACE, QH_LOG_ERROR));
}

}  // namespace

const qh_log_api& log() {
  static const qh_log_api table{
      sizeof(qh_log_api), 0,
      [](qh_host*, std::int32_t level, qh_str message) {
        guard_call([&] { quanthost::log::write(to_level(level), "plugin", from_abi(message)); });
      },
      [](qh_host*, std::int32_t level) -> std::int32_t {
        return to_level(level) >= quanthost::log::level();
      }};
  return table;
}

}  // namespace quanthost::services
