#include "host/plugins/registry_cache.hpp"

#include <quanthost/abi/base.h>

#include <fstream>
#include <iterator>

#include "host/base/atomic_output.hpp"
#include "host/base/log.hpp"

namespace quanthost {
namespace {

constexpr int kSchemaVersion = 1;
constexpr std::size_t kMaxEntries = 2000;
constexpr std::uintmax_t kMaxBytes = 32 * 1024 * 1024;

}  // namespace

Json identity_to_json(const FileIdentity& identity) {
  return Json::array({identity.device, identity.inode, identity.size, identity.mtime_ns});
}

FileIdentity identity_from_json(const Json& json) {
  return {json.at(0).get<std::uint64_t>(), json.at(1).get<std::uint64_t>(),
          json.at(2).get<std::uint64_t>(), json.at(3).get<std::int64_t>()};
}

std::string host_fingerprint() {
  return fmt::format("{} abi {}.{}", QUANTHOST_VERSION, QH_ABI_MAJOR, QH_ABI_MINOR);
}

RegistryCache::RegistryCache(std::filesystem::path file) : file_(std::move(file)) {
  std::error_code error;
  if (file_.empty() || !std::filesystem::is_regular_file(file_, error)) return;
  try {
    read();
  } catch (const std::exception& e) {
    log::info("plugins", "the cache {} is ignored: {}", file_.string(), e.what());
    entries_.clear();
  }
}

void RegistryCache::read() {
  if (std::filesystem::file_size(file_) > kMaxBytes) fail(ErrorKind::kValue, "it is too large");
  if (std::string fault = permission_fault(std::filesystem::canonical(file_)); !fault.empty()) {
    throw Error(ErrorKind::kOs, fault);
  }
  std::ifstream stream(file_, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  OrderedJson json = OrderedJson::parse(text);
  if (json.at("schema_version") != kSchemaVersion || json.at("host") != host_fingerprint()) return;
  for (OrderedJson& item : json.at("plugins")) {
    Entry entry;
    entry.identity = identity_from_json(Json(item.at("identity")));
    entry.probed = item.at("probed").get<bool>();
    entry.content.fault = item.at("fault").get<std::string>();
    entry.content.needed_libraries = item.at("needed").get<std::vector<std::string>>();
    entry.content.run_path = item.at("run_path").get<std::vector<std::string>>();
    if (!item.at("manifest").is_null()) {
      entry.content.manifest = Manifest::from_source(std::move(item.at("manifest")), "manifest");
    }
    entries_.emplace(item.at("path").get<std::string>(), std::move(entry));
  }
}

const RegistryCache::Entry* RegistryCache::find(const std::filesystem::path& real_path,
                                                const FileIdentity& identity) const {
  const auto found = entries_.find(real_path.string());
  return found != entries_.end() && found->second.identity == identity ? &found->second : nullptr;
}

void RegistryCache::store(const std::filesystem::path& real_path, const FileIdentity& identity,
                          const PluginFileContent& content) {
  if (entries_.size() >= kMaxEntries) entries_.clear();
  entries_[real_path.string()] = {identity, content, false};
  changed_ = true;
}

void RegistryCache::set_probed(const std::filesystem::path& real_path,
                               const FileIdentity& identity) {
  const auto found = entries_.find(real_path.string());
  if (found == entries_.end() || found->second.identity != identity || found->second.probed) return;
  found->second.probed = true;
  changed_ = true;
}

void RegistryCache::save() {
  if (!changed_ || file_.empty()) return;
  OrderedJson plugins = OrderedJson::array();
  for (const auto& [path, entry] : entries_) {
    const auto& content = entry.content;
    plugins.push_back({{"path", path},
                       {"identity", identity_to_json(entry.identity)},
                       {"probed", entry.probed},
                       {"fault", content.fault},
                       {"needed", content.needed_libraries},
                       {"run_path", content.run_path},
                       {"manifest", content.manifest ? content.manifest->source : OrderedJson()}});
  }
  const OrderedJson json{
      {"schema_version", kSchemaVersion}, {"host", host_fingerprint()}, {"plugins", plugins}};
  try {
    // A fault may quote bytes of the file; what is not UTF-8 is replaced.
    write_private_file(file_, json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace));
    changed_ = false;
  } catch (const std::exception& e) {
    log::info("plugins", "the cache cannot be written: {}", e.what());
  }
}

}  // namespace quanthost
