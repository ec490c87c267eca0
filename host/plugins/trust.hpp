// May code from this file run in this process? Ownership and permissions, an allow list,
// signatures.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "host/plugins/file_bytes.hpp"
#include "host/plugins/signature.hpp"

namespace quanthost {

// kOff: nothing is checked. kWarn: a file or directory that another user can write, a blocked
// plugin, and a signature that does not match are refused; a missing signature is not. kRequire:
// besides, a good signature or an entry in the allow list is needed.
enum class TrustPolicy { kOff, kWarn, kRequire };
TrustPolicy parse_trust_policy(std::string_view text);  // throws kValue
std::string_view name_of(TrustPolicy policy);

struct TrustedKey {
  PublicKey key;
  std::string text;    // as given
  std::string prefix;  // only for plugins whose id starts with it; empty: all
};
struct ListedPlugin {
  std::string id;
  std::string sha256;  // empty in a block entry: every file with that id
};

// The user's decisions, kept as JSON in $XDG_CONFIG_HOME/quanthost/trust.json.
struct TrustSettings {
  TrustPolicy policy = TrustPolicy::kWarn;
  std::vector<TrustedKey> keys;
  std::vector<ListedPlugin> allowed;
  std::vector<ListedPlugin> blocked;

  // The defaults when there is no such file. Throws when it is malformed or others can write it.
  static TrustSettings load(const std::filesystem::path& file);
  void save(const std::filesystem::path& file) const;  // written aside and renamed
};

struct TrustVerdict {
  enum class Level { kTrusted, kUnverified, kRefused };
  Level level = Level::kUnverified;
  std::string reason;  // for people; why refused, or what vouches for it
};

// Who owns `path` and who can write it or replace what lies above it. Empty when nobody but this
// user and root can.
std::string permission_fault(const std::filesystem::path& real_path);

// `directory_fault` is permission_fault of the directory the plugin was found in.
TrustVerdict judge_trust(const std::filesystem::path& real_path, const std::string& plugin_id,
                         const std::string& directory_fault, const TrustSettings& settings);

}  // namespace quanthost
