#include "host/plugins/quarantine.hpp"

#include <fstream>
#include <iterator>

#include "host/base/atomic_output.hpp"
#include "host/base/json.hpp"
#include "host/base/log.hpp"
#include "host/plugins/registry_cache.hpp"

namespace quanthost {
namespace {

std::int64_t to_seconds(Quarantine::Clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

Quarantine::Clock::time_point from_seconds(std::int64_t seconds) {
  return Quarantine::Clock::time_point(std::chrono::seconds(seconds));
}

}  // namespace

Quarantine::Quarantine(std::filesystem::path file, Clock::time_point now)
    : file_(std::move(file)), now_(now) {
  std::error_code error;
  if (file_.empty() || !std::filesystem::is_regular_file(file_, error)) return;
  try {
    read();
  } catch (const std::exception& e) {
    log::info("plugins", "the quarantine list {} is ignored: {}", file_.string(), e.what());
    entries_.clear();
  }
}

void Quarantine::read() {
  std::ifstream stream(file_, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  const Json json = Json::parse(text);
  if (json.at("host") != host_fingerprint()) return;  // another host may get on with them
  for (const Json& item : json.at("plugins")) {
    Entry entry{identity_from_json(item.at("identity")), item.at("reason").get<std::string>(),
                item.at("output_tail").get<std::string>(),
                from_seconds(item.at("since").get<std::int64_t>()),
                from_seconds(item.at("until").get<std::int64_t>())};
    // The upper bound makes an entry from a clock that was ahead expire all the same.
    if (entry.until <= now_ || entry.until > now_ + kLifetime) continue;
    entries_.emplace(item.at("path").get<std::string>(), std::move(entry));
  }
}

const Quarantine::Entry* Quarantine::find(const std::filesystem::path& real_path,
                                          const FileIdentity& identity) const {
  const auto found = entries_.find(real_path.string());
  return found != entries_.end() && found->second.identity == identity ? &found->second : nullptr;
}

void Quarantine::add(const std::filesystem::path& real_path, const FileIdentity& identity,
                     std::string reason, std::string output_tail) {
  entries_[real_path.string()] = {identity, std::move(reason), std::move(output_tail), now_,
                                  now_ + kLifetime};
  changed_ = true;
}

bool Quarantine::release(const std::filesystem::path& real_path) {
  const bool held = entries_.erase(real_path.string()) != 0;
  changed_ = changed_ || held;
  return held;
}

void Quarantine::save() {
  if (!changed_ || file_.empty()) return;
  Json plugins = Json::array();
  for (const auto& [path, entry] : entries_) {
    plugins.push_back({{"path", path},
                       {"identity", identity_to_json(entry.identity)},
                       {"reason", entry.reason},
                       {"output_tail", entry.output_tail},
                       {"since", to_seconds(entry.since)},
                       {"until", to_seconds(entry.until)}});
  }
  const Json json{{"schema_version", 1}, {"host", host_fingerprint()}, {"plugins", plugins}};
  try {
    write_private_file(file_, json.dump(1, ' ', false, Json::error_handler_t::replace));
    changed_ = false;
  } catch (const std::exception& e) {
    log::warn("plugins", "the quarantine list cannot be written: {}", e.what());
  }
}

}  // namespace quanthost
