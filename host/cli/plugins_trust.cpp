#include <algorithm>
#include <memory>

#include "host/cli/plugin_view.hpp"
#include "host/cli/verbs.hpp"

namespace quanthost::cli {
namespace {

std::filesystem::path trust_file(Session& session) {
  const auto directory = user_config_directory(session.plugins().context());
  if (directory.empty()) {
    throw CommandError(ExitCode::kIo, ErrorKind::kOs, "there is no directory for settings",
                       "set HOME or XDG_CONFIG_HOME");
  }
  return directory / "trust.json";
}

int show_trust(Session& session) {
  const std::filesystem::path file = trust_file(session);
  const TrustSettings settings = TrustSettings::load(file);
  OrderedJson keys = OrderedJson::array(), allowed = OrderedJson::array(),
              blocked = OrderedJson::array();
  for (const TrustedKey& key : settings.keys)
    keys.push_back({{"id", key.key.id_text()}, {"key", key.text}, {"prefix", key.prefix}});
  for (const ListedPlugin& entry : settings.allowed)
    allowed.push_back({{"id", entry.id}, {"sha256", entry.sha256}});
  for (const ListedPlugin& entry : settings.blocked)
    blocked.push_back({{"id", entry.id}, {"sha256", entry.sha256}});
  if (session.json()) {
    session.print_json("plugins.trust", {{"file", file.string()},
                                         {"policy", name_of(settings.policy)},
                                         {"keys", keys},
                                         {"allow", allowed},
                                         {"block", blocked}});
    return 0;
  }
  session.print(fmt::format("policy {}  ({})", name_of(settings.policy), file.string()));
  for (const auto& key : settings.keys) {
    session.print(fmt::format("key {} for {}", key.key.id_text(),
                              key.prefix.empty() ? "every plugin" : key.prefix + "*"));
  }
  for (const auto& entry : settings.allowed)
    session.print(fmt::format("allow {} {}", entry.id, entry.sha256));
  for (const auto& entry : settings.blocked) session.print(fmt::format("block {}", entry.id));
  return 0;
}

// Changes the settings through `change` and says what was done.
template <typename Change>
int edit(Session& session, const Change& change) {
  const std::filesystem::path file = trust_file(session);
  TrustSettings settings = TrustSettings::load(file);
  const std::string done = change(settings);
  settings.save(file);
  if (session.json()) {
    session.print_json("plugins.trust.edit", {{"file", file.string()}, {"done", done}});
  } else {
    session.print(done);
  }
  return 0;
}

std::string allow(Session& session, TrustSettings& settings, const std::string& subject) {
  const PluginRecord& plugin = session.plugins().find_plugin(subject);
  if (!plugin.content.manifest) refuse(plugin);
  const std::string hash = sha256_hex(FileBytes(plugin.real_path));
  settings.allowed.push_back({plugin.id(), hash});
  return fmt::format("{} with SHA-256 {} is allowed; a changed file is not", plugin.id(), hash);
}

std::string forget(TrustSettings& settings, const std::string& id) {
  const auto same = [&](const ListedPlugin& entry) { return entry.id == id; };
  const auto removed = std::erase_if(settings.allowed, same) +
                       std::erase_if(settings.blocked, same) +
                       std::erase_if(settings.keys, [&](const TrustedKey& key) {
                         return key.key.id_text() == id || key.text == id;
                       });
  if (removed == 0) {
    throw CommandError(ExitCode::kFailed, ErrorKind::kKey,
                       fmt::format("'{}' is neither a listed plugin nor a key", id),
                       "see 'quanthost plugins trust show'");
  }
  return fmt::format("{} is forgotten", id);
}

}  // namespace

void add_plugins_trust(Verb parent, Session& session) {
  Verb trust = parent.verb(
      "trust", "Which plugins may run: policy, signing keys, allow and block lists",
      "  quanthost plugins trust show\n"
      "  quanthost plugins trust policy require\n"
      "  quanthost plugins trust add-key RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n"
      "  quanthost plugins trust allow ./mymethod.so");
  trust.verb("show", "The settings as they are", "").run([&session] {
    return show_trust(session);
  });
  auto text = std::make_shared<std::string>();
  auto prefix = std::make_shared<std::string>();
  trust
      .verb("policy",
            "off: check nothing; warn: refuse what others can change; require: a signature or an "
            "allow entry",
            "  quanthost plugins trust policy require")
      .argument("policy", *text, "off, warn or require")
      .run([&session, text] {
        return edit(session, [&](TrustSettings& settings) {
          settings.policy = parse_trust_policy(*text);
          return fmt::format("the policy is {}", *text);
        });
      });
  trust
      .verb("add-key", "Trust plugins signed with a minisign key",
            "  quanthost plugins trust add-key RWQ… --prefix org.example.")
      .argument("key", *text, "The line that starts with RW of a minisign .pub file")
      .option("--prefix", *prefix, "Only for plugins whose id starts with this")
      .run([&session, text, prefix] {
        return edit(session, [&](TrustSettings& settings) {
          settings.keys.push_back({PublicKey::parse(*text), *text, *prefix});
          return fmt::format("key {} is trusted", settings.keys.back().key.id_text());
        });
      });
  trust
      .verb("allow", "Allow this very file, by its hash",
            "  quanthost plugins trust allow ./mymethod.so")
      .argument("plugin", *text, "Id of a plugin, or a file")
      .run([&session, text] {
        return edit(session,
                    [&](TrustSettings& settings) { return allow(session, settings, *text); });
      });
  trust
      .verb("block", "Never use a plugin of this id",
            "  quanthost plugins trust block org.example.mymethod")
      .argument("id", *text, "Id of a plugin")
      .run([&session, text] {
        return edit(session, [&](TrustSettings& settings) {
          settings.blocked.push_back({*text, ""});
          return fmt::format("{} is blocked", *text);
        });
      });
  trust
      .verb("forget", "Remove a plugin from the lists, or a key",
            "  quanthost plugins trust forget org.example.mymethod")
      .argument("id", *text, "Id of a plugin, or of a key")
      .run([&session, text] {
        return edit(session, [&](TrustSettings& settings) { return forget(settings, *text); });
      });
}

}  // namespace quanthost::cli
