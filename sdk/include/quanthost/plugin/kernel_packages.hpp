// The kernel package that a session works with: its function table for each kind of device.
#pragma once

#include <map>
#include <mutex>
#include <quanthost/plugin/host.hpp>
#include <string>
#include <string_view>

namespace qh {

// `Table` is the struct of functions that the interface names, e.g. qh_bnb4_kernels.
template <typename Table>
struct KernelPackage {
  Table table;  // functions that an older provider does not know are NULL
  qh_package* self;
};

template <typename Table>
class KernelPackages {
 public:
  // `complete` tells whether a table has every function that the plugin cannot do without.
  // `package` and `interface_id` are kept as they are: give literals.
  KernelPackages(const Host& host, qh_session* session, std::string_view package,
                 std::string_view interface_id, bool (*complete)(const Table&))
      : host_(host),
        session_(session),
        package_(package),
        interface_id_(interface_id),
        complete_(complete) {}

  // The package for this kind of device, or the reason why there is none. The first call for a kind
  // asks the host and belongs on the load thread; later ones answer on any thread.
  const KernelPackage<Table>& for_device(std::string_view kind) {
    const std::lock_guard<std::mutex> guard(lock_);
    const auto found = packages_.find(kind);
    if (found != packages_.end()) return found->second;
    const void* table = nullptr;
    qh_package* self = nullptr;
    check(
        host_.need(host_.packages, QH_PACKAGES_ID)
            .table(session_, to_abi(package_), to_abi(interface_id_), to_abi(kind), &table, &self));
    const KernelPackage<Table> package{copy_sized(static_cast<const Table*>(table)), self};
    if (!complete_(package.table))
      throw Error(QH_ERR_RUNTIME,
                  "the package `" + std::string(package_) + "` for " + std::string(kind) +
                      " leaves out functions of " + std::string(interface_id_),
                  "update the plugin that provides it");
    return packages_.emplace(kind, package).first->second;
  }

 private:
  Host host_;
  qh_session* session_;
  std::string_view package_, interface_id_;
  bool (*complete_)(const Table&);
  std::mutex lock_;
  std::map<std::string, KernelPackage<Table>, std::less<>> packages_;
};

}  // namespace qh
