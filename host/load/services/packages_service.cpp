// qh.packages/1: the packages a session was resolved with, and Python's rules for comparing
// versions.
#include "host/load/abi_strings.hpp"
#include "host/load/services/services.hpp"
#include "host/load/session.hpp"
#include "host/plugins/requirement.hpp"
#include "host/plugins/version.hpp"

namespace quanthost::services {
namespace {

qh_status version(qh_session* session, qh_str package, qh_str_sink out) {
  return guard_call([&] {
    const auto& versions = Session::from_abi(session).package_versions;
    const auto found = versions.find(normalized_name(from_abi(package)));
    if (found == versions.end()) {
      throw Error(ErrorKind::kKey,
                  fmt::format("package {} is not part of this session", from_abi(package)),
                  "name it in the manifest's required_packages");
    }
    check_call(out.emit(out.ctx, to_abi(found->second)));
  });
}

qh_status compare_versions(qh_host*, qh_str a, qh_str b, std::int32_t* out) {
  return guard_call([&] {
    const auto order = Version::parse(from_abi(a)) <=> Version::parse(from_abi(b));
    *out = order < 0 ? -1 : order > 0 ? 1 : 0;
  });
}

qh_status satisfies(qh_host*, qh_str version, qh_str constraints, std::int32_t* out) {
  return guard_call([&] {
    *out = Constraints::parse(from_abi(constraints)).allows(Version::parse(from_abi(version)));
  });
}

qh_status table(qh_session* session, qh_str package, qh_str interface_id, qh_str device_kind,
                const void** out, qh_package** self) {
  return guard_call([&] {
    const Session& ours = Session::from_abi(session);
    if (!ours.package_table) fail(ErrorKind::kRuntime, "this session has no kernel packages");
    const PackageTable found =
        ours.package_table(std::string(from_abi(package)), std::string(from_abi(interface_id)),
                           std::string(from_abi(device_kind)));
    *out = found.table;
    *self = found.self;
  });
}

}  // namespace

const qh_packages_api& packages() {
  static const qh_packages_api api{sizeof(qh_packages_api), 0,         version,
                                   compare_versions,        satisfies, table};
  return api;
}

}  // namespace quanthost::services
