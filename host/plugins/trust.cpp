#include "host/plugins/trust.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>

#include "host/base/atomic_output.hpp"
#include "host/base/json.hpp"

namespace quanthost {
namespace {

namespace fs = std::filesystem;
using Level = TrustVerdict::Level;

std::string fault_of(const fs::path& path, bool ancestor) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0)
    return fmt::format("{}: {}", path.string(), std::strerror(errno));
  if (info.st_uid != 0 && info.st_uid != ::geteuid()) {
    return fmt::format("{} belongs to user {}, not to you or root", path.string(), info.st_uid);
  }
  // In a sticky directory such as /tmp others cannot rename or remove what is not theirs.
  const bool sticky = ancestor && (info.st_mode & S_ISVTX) != 0;
  if ((info.st_mode & S_IWOTH) != 0 && !sticky)
    return fmt::format("{} can be written by every user", path.string());
  // Where every user has a group of their own, umask 002 is usual: that group is the user alone.
  const bool own_group = info.st_gid == 0 || info.st_gid == ::getegid();
  if ((info.st_mode & S_IWGRP) != 0 && !sticky && !own_group) {
    return fmt::format("{} can be written by group {}", path.string(), info.st_gid);
  }
  return {};
}

bool lists(const std::vector<ListedPlugin>& list, const std::string& id,
           const std::string& sha256) {
  return std::any_of(list.begin(), list.end(), [&](const ListedPlugin& entry) {
    return entry.id == id && (entry.sha256.empty() || entry.sha256 == sha256);
  });
}

std::optional<std::string> read_signature(const fs::path& plugin) {
  std::error_code error;
  const fs::path path = plugin.string() + ".minisig";
  if (!fs::is_regular_file(path, error) || fs::file_size(path, error) > 4096) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  return std::string{std::istreambuf_iterator<char>(file), {}};
}

// Refused when the signature is wrong, trusted when it is right, unverified when it is absent or by
// an unknown key.
TrustVerdict judge_signature(const FileBytes& bytes, const fs::path& path, const std::string& id,
                             const TrustSettings& settings) {
  const auto minisig = read_signature(path);
  if (!minisig) return {Level::kUnverified, "it has no signature"};
  std::vector<PublicKey> keys;
  for (const TrustedKey& trusted : settings.keys) {
    if (id.starts_with(trusted.prefix)) keys.push_back(trusted.key);
  }
  const SignatureCheck check = check_signature(bytes, *minisig, keys);
  switch (check.result) {
    case SignatureCheck::Result::kGood:
      return {Level::kTrusted, fmt::format("signed with key {}", check.key_id)};
    case SignatureCheck::Result::kNoSuchKey:
      return {Level::kUnverified, check.reason};
    case SignatureCheck::Result::kBad:
      break;
  }
  return {Level::kRefused, check.reason};
}

std::vector<ListedPlugin> listed_from_json(const Json& list) {
  std::vector<ListedPlugin> out;
  for (const Json& entry : list)
    out.push_back({entry.at("id").get<std::string>(), entry.value("sha256", "")});
  return out;
}

Json to_json(const std::vector<ListedPlugin>& list) {
  Json out = Json::array();
  for (const ListedPlugin& entry : list)
    out.push_back({{"id", entry.id}, {"sha256", entry.sha256}});
  return out;
}

}  // namespace

TrustPolicy parse_trust_policy(std::string_view text) {
  if (text == "off") return TrustPolicy::kOff;
  if (text == "warn") return TrustPolicy::kWarn;
  if (text == "require") return TrustPolicy::kRequire;
  fail(ErrorKind::kValue, "'{}' is not a trust policy: off, warn or require", text);
}

std::string_view name_of(TrustPolicy policy) {
  switch (policy) {
    case TrustPolicy::kOff:
      return "off";
    case TrustPolicy::kWarn:
      return "warn";
    case TrustPolicy::kRequire:
      return "require";
  }
  return "warn";
}

TrustSettings TrustSettings::load(const fs::path& file) {
  TrustSettings settings;
  std::error_code error;
  if (file.empty() || !fs::exists(file, error)) return settings;
  if (std::string fault = permission_fault(fs::canonical(file)); !fault.empty()) {
    throw Error(ErrorKind::kOs, fmt::format("{}: is not used, because {}", file.string(), fault),
                "make it and its directories writable for yourself alone");
  }
  std::ifstream stream(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  const Json json = parse_json(text, file.string());
  try {
    settings.policy = parse_trust_policy(json.value("policy", "warn"));
    for (const Json& entry : json.value("keys", Json::array())) {
      const auto key = entry.at("key").get<std::string>();
      settings.keys.push_back({PublicKey::parse(key), key, entry.value("prefix", "")});
    }
    settings.allowed = listed_from_json(json.value("allow", Json::array()));
    settings.blocked = listed_from_json(json.value("block", Json::array()));
  } catch (const Json::exception& e) {
    fail(ErrorKind::kValue, "{}: {}", file.string(), e.what());
  } catch (const Error& e) {
    throw e.within(file.string());
  }
  return settings;
}

void TrustSettings::save(const fs::path& file) const {
  Json keys_json = Json::array();
  for (const TrustedKey& key : keys)
    keys_json.push_back({{"key", key.text}, {"prefix", key.prefix}});
  const Json json{{"schema_version", 1},
                  {"policy", name_of(policy)},
                  {"keys", keys_json},
                  {"allow", to_json(allowed)},
                  {"block", to_json(blocked)}};
  write_private_file(file, json.dump(2) + "\n");
}

std::string permission_fault(const fs::path& real_path) {
  bool ancestor = false;
  for (fs::path path = real_path;; path = path.parent_path()) {
    if (std::string fault = fault_of(path, ancestor); !fault.empty()) return fault;
    if (path == path.root_path() || !path.has_parent_path()) return {};
    ancestor = true;
  }
}

TrustVerdict judge_trust(const fs::path& real_path, const std::string& plugin_id,
                         const std::string& directory_fault, const TrustSettings& settings) {
  if (settings.policy == TrustPolicy::kOff)
    return {Level::kUnverified, "nothing is checked (policy off)"};
  if (!directory_fault.empty()) return {Level::kRefused, directory_fault};
  if (std::string fault = permission_fault(real_path); !fault.empty())
    return {Level::kRefused, fault};
  const FileBytes bytes(real_path);
  const bool has_lists = !settings.blocked.empty() || !settings.allowed.empty();
  const std::string hash = has_lists ? sha256_hex(bytes) : std::string();
  if (lists(settings.blocked, plugin_id, hash))
    return {Level::kRefused, "it is blocked in trust.json"};
  TrustVerdict signature = judge_signature(bytes, real_path, plugin_id, settings);
  if (signature.level != Level::kUnverified) return signature;
  const bool allowed = std::any_of(
      settings.allowed.begin(), settings.allowed.end(),
      [&](const ListedPlugin& entry) { return entry.id == plugin_id && entry.sha256 == hash; });
  if (allowed) return {Level::kTrusted, "this very file is allowed in trust.json"};
  if (settings.policy == TrustPolicy::kRequire) {
    return {Level::kRefused,
            fmt::format("the policy requires a signature or an allow entry: {}", signature.reason)};
  }
  return signature;
}

}  // namespace quanthost
