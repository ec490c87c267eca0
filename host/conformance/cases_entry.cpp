// The negotiation and the plugin's own table.
#include <cstring>
#include <set>

#include "host/conformance/opened_plugin.hpp"
#include "quanthost/plugin/error.hpp"

namespace quanthost::conformance {
namespace {

// Calls the entry with a changed offer; returns its status. What it accepted is shut down again.
template <typename Change>
qh_status enter_with(MockHost& host, const Subject& subject, Change&& change) {
  const qh_plugin_entry_fn entry = open_entry(subject.path);
  qh_offer offer = make_offer(host, subject.path);
  change(offer);
  qh_accept accept{};
  accept.struct_size = sizeof(accept);
  const qh_status status = entry(&offer, &accept);
  if (status == QH_OK && accept.api && accept.api->shutdown) accept.api->shutdown(accept.plugin);
  return status;
}

void refuses_another_major(const Subject& subject) {
  MockHost host;
  const qh_status status =
      enter_with(host, subject, [](qh_offer& offer) { offer.abi_major = QH_ABI_MAJOR + 1; });
  require_error(host, status, "the entry, offered the next major version,");
}

void refuses_an_older_host(const Subject& subject) {
  MockHost host;
  const qh_status status = enter_with(host, subject, [](qh_offer& offer) {
    offer.abi_minor_min = offer.abi_minor_max = QH_ABI_MINOR ? QH_ABI_MINOR - 1 : 0;
    if (QH_ABI_MINOR == 0) offer.abi_major = QH_ABI_MAJOR - 1;
  });
  if (QH_ABI_MINOR > 0 && status == QH_OK)
    return;  // it uses nothing of today's minor version: better still
  const std::string text =
      require_error(host, status, "the entry, offered a host one minor version older,");
  require(text.find('.') != std::string::npos, "the refusal names no version: \"{}\"", text);
}

void serves_a_future_host(const Subject& subject) {
  MockHost host;
  const qh_status status =
      enter_with(host, subject, [](qh_offer& offer) { offer.abi_minor_max = QH_ABI_MINOR + 7; });
  require_ok(host, status, "the entry, offered by a host of a later minor version,");
}

void ignores_a_longer_offer(const Subject& subject) {
  MockHost host;
  struct {
    qh_offer offer;
    unsigned char garbage[64];
  } longer{};
  std::memset(longer.garbage, 0xa5, sizeof longer.garbage);
  longer.offer = make_offer(host, subject.path);
  longer.offer.struct_size = sizeof longer;
  struct {
    qh_accept accept;
    unsigned char canary[64];
  } answer{};
  std::memset(answer.canary, 0x5a, sizeof answer.canary);
  answer.accept.struct_size = sizeof(qh_accept);
  require_ok(host, open_entry(subject.path)(&longer.offer, &answer.accept),
             "the entry, given an offer with fields it does not know,");
  for (unsigned char byte : answer.canary)
    require(byte == 0x5a, "it wrote beyond the struct_size of qh_accept");
  answer.accept.api->shutdown(answer.accept.plugin);
}

void survives_a_short_offer(const Subject& subject) {
  for (std::uint32_t size : {0u, 4u, 8u, 16u, 24u, 32u, 40u}) {
    MockHost host;
    enter_with(host, subject, [&](qh_offer& offer) { offer.struct_size = size; });
    // Any status will do, as long as the process lives and nothing is claimed without a host to
    // talk to.
  }
}

void keeps_to_a_short_accept(const Subject& subject) {
  MockHost host;
  const qh_offer offer = make_offer(host, subject.path);
  qh_accept accept;
  std::memset(&accept, 0x5a, sizeof accept);
  accept.struct_size = 8;
  open_entry(subject.path)(&offer, &accept);
  const auto* bytes = reinterpret_cast<const unsigned char*>(&accept);
  for (std::size_t i = 8; i < sizeof accept; ++i)
    require(bytes[i] == 0x5a, "it wrote at offset {} although struct_size was 8", i);
}

void lives_without_services(const Subject& subject) {
  MockHost host;
  host.hide_all_services = true;
  enter_with(host, subject, [](qh_offer&) {});
}

void serves_two_hosts(const Subject& subject) {
  MockHost first, second;
  OpenedPlugin a(first, subject);
  { OpenedPlugin b(second, subject); }
  qh_pair_sink sink{nullptr, [](void*, qh_str, qh_str) -> qh_status { return QH_OK; }};
  require_ok(first, a.api().describe(a.handle(), sink),
             "describe() after another host shut the plugin down");
}

void says_what_the_manifest_says(const Subject& subject) {
  MockHost host;
  OpenedPlugin plugin(host, subject);
  std::set<std::pair<std::string, std::string>> said, promised;
  require_ok(
      host,
      plugin.api().describe(plugin.handle(), {&said,
                                              [](void* ctx, qh_str key, qh_str value) -> qh_status {
                                                static_cast<decltype(said)*>(ctx)->emplace(
                                                    qh::from_abi(key), qh::from_abi(value));
                                                return QH_OK;
                                              }}),
      "describe()");
  promised.emplace("id", subject.manifest.id);
  promised.emplace("version", subject.manifest.version.text());
  for (const QuantizerSpec& q : subject.manifest.quantizers)
    promised.emplace("quantizer", q.method);
  for (const PackageSpec& p : subject.manifest.packages)
    promised.emplace(
        "package", fmt::format("{} {} {} {}", p.name, p.version.text(), p.device, p.interface_id));
  for (const auto& [key, value] : promised)
    require(said.contains({key, value}), "the manifest says {} \"{}\", describe() does not", key,
            value);
  for (const auto& [key, value] : said)
    require(promised.contains({key, value}), "describe() says {} \"{}\", the manifest does not",
            key, value);
}

void knows_no_unknown_extension(const Subject& subject) {
  MockHost host;
  OpenedPlugin plugin(host, subject);
  if (!plugin.api().extension) return;
  for (const char* id : {"", "org.example.nobody-has-this/1", "qh.model/1", "\xff\xfe"})
    require(plugin.api().extension(plugin.handle(), qh::to_abi(id)) == nullptr,
            "it returned a table for \"{}\"", id);
}

void refuses_unknown_names(const Subject& subject) {
  MockHost host;
  OpenedPlugin plugin(host, subject);
  const qh_quantizer_api* quantizer = nullptr;
  const void* table = nullptr;
  qh_package* package = nullptr;
  for (const char* name : {"", "no-such-method"}) {
    if (plugin.api().quantizer)
      require_error(host, plugin.api().quantizer(plugin.handle(), qh::to_abi(name), &quantizer),
                    "quantizer() with an unknown name");
    if (plugin.api().package)
      require_error(host,
                    plugin.api().package(plugin.handle(), qh::to_abi(name), qh::to_abi("x/1"),
                                         qh::to_abi("cpu"), &table, &package),
                    "package() with an unknown name");
  }
  for (const QuantizerSpec& q : subject.manifest.quantizers)
    if (plugin.api().quantizer)
      require_error(host,
                    plugin.api().quantizer(plugin.handle(), qh::to_abi(q.method + "x"), &quantizer),
                    "quantizer() with its own name and a letter more");
}

void passes_its_self_test(const Subject& subject) {
  MockHost host;
  OpenedPlugin plugin(host, subject);
  if (!plugin.api().self_test) throw Skipped("the plugin has no self-test");
  require_ok(host, plugin.api().self_test(plugin.handle(), MockExec(host).abi()), "self_test()");
}

}  // namespace

const std::vector<Case> kEntryCases = {
    {"negotiation.refuses-another-major",
     "A host of another ABI major version is refused with a sentence", "QH-P-04",
     refuses_another_major},
    {"negotiation.refuses-older-host",
     "A host that is one minor version older is refused with a sentence that names versions",
     "QH-P-05", refuses_an_older_host},
    {"negotiation.future-host", "A host of a later minor version is served", "QH-P-06",
     serves_a_future_host},
    {"negotiation.ignores-longer-offer", "Fields beyond what the plugin knows are ignored",
     "QH-P-07", ignores_a_longer_offer},
    {"negotiation.survives-short-offer", "An offer that is too short does no harm", "QH-P-07",
     survives_a_short_offer},
    {"negotiation.keeps-to-short-accept",
     "Nothing is written beyond the struct_size that the host gave", "QH-P-07",
     keeps_to_a_short_accept},
    {"negotiation.lives-without-services", "A host that offers no service does no harm", "QH-P-08",
     lives_without_services},
    {"negotiation.serves-two-hosts", "Two hosts in one process do not disturb each other",
     "QH-P-09", serves_two_hosts},
    {"table.says-what-the-manifest-says", "describe() and the manifest agree", "QH-P-10",
     says_what_the_manifest_says},
    {"table.unknown-extension-is-null", "An unknown extension id gives NULL", "QH-P-11",
     knows_no_unknown_extension},
    {"table.refuses-unknown-names", "Unknown methods and packages are refused with a sentence",
     "QH-P-12", refuses_unknown_names},
    {"table.self-test", "The plugin's own self-test passes", "QH-P-13", passes_its_self_test},
};

}  // namespace quanthost::conformance
