// qh.progress/1: a plugin's own stages, shown and cancelled as the host's.
#include "host/load/abi_strings.hpp"
#include "host/load/services/services.hpp"
#include "host/load/session.hpp"

namespace quanthost::services {
namespace {

template <typename Body>
qh_status with_progress(qh_session* session, Body&& body) {
  return guard_call([&] {
    if (Progress* progress = Session::from_abi(session).progress) body(*progress);
  });
}

}  // namespace

const qh_progress_api& progress() {
  static const qh_progress_api table{
      sizeof(qh_progress_api), 0,
      [](qh_session* session, qh_str stage, qh_str unit, std::uint64_t total) {
        return with_progress(session,
                             [&](Progress& p) { p.begin(from_abi(stage), from_abi(unit), total); });
      },
      [](qh_session* session, std::uint64_t done, qh_str current) {
        return with_progress(session, [&](Progress& p) { p.update(done, from_abi(current)); });
      },
      [](qh_session* session) { return with_progress(session, [](Progress& p) { p.end(); }); }};
  return table;
}

}  // namespace quanthost::services
