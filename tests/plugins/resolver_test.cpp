#include "host/plugins/resolver.hpp"

#include <gmock/gmock.h>

#include <algorithm>

namespace quanthost {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

PackageSpec package(const std::string& name, const std::string& version,
                    const std::string& device = "cpu", const std::string& interface_id = "") {
  return {name, normalized_name(name), Version::parse(version), device, interface_id, 0};
}

ResolverPlugin plugin(const std::string& id, std::vector<PackageSpec> packages,
                      const std::vector<std::string>& requirements = {}) {
  ResolverPlugin out;
  out.id = id;
  out.version = Version::parse("1.0");
  out.packages = std::move(packages);
  for (const std::string& text : requirements) out.requirements.push_back(Requirement::parse(text));
  return out;
}

ResolverPlugin host() {
  ResolverPlugin out = plugin(
      "quanthost", {package("accelerate", "1.15.0", "any"), package("optimum", "2.3.0", "any")});
  out.built_in = true;
  return out;
}

ResolverGoal goal(const std::string& id, const std::vector<std::string>& requirements,
                  std::vector<std::string> devices = {"cpu"}) {
  ResolverGoal out{id, "m", {}, std::move(devices)};
  for (const std::string& text : requirements) out.requirements.push_back(Requirement::parse(text));
  return out;
}

Requirement with_interface(const std::string& text, const std::string& interface_id) {
  Requirement out = Requirement::parse(text);
  out.interface_id = interface_id;
  return out;
}

std::string provider_of(const Resolution& r, const std::string& name, const std::string& device) {
  for (const PlannedPackage& p : r.packages) {
    if (p.name == name && (p.device == device || p.device == "any"))
      return p.plugin_id + " " + p.version;
  }
  return "none";
}

TEST(Resolver, NamesAPackageThatNobodyProvides) {
  const auto r = resolve({host(), plugin("q", {})}, {goal("q", {"bitsandbytes>=0.39.0"})});
  EXPECT_FALSE(r.ok);
  EXPECT_EQ(r.proof(),
            "q (method m) requires bitsandbytes>=0.39.0 (for cpu)\n  no plugin in the search path "
            "provides it");
}

TEST(Resolver, SaysWhichVersionIsTooLow) {
  const auto r = resolve({plugin("q", {}), plugin("k", {package("bitsandbytes", "0.38.1")})},
                         {goal("q", {"bitsandbytes>=0.39.0"})});
  EXPECT_FALSE(r.ok);
  EXPECT_THAT(r.proof(), HasSubstr("k 0.38.1: version 0.38.1 does not satisfy >=0.39.0"));
}

TEST(Resolver, ChoosesTheHighestVersionOfTwoProviders) {
  const auto r = resolve(
      {plugin("q", {}), plugin("a", {package("p", "0.9")}), plugin("b", {package("p", "0.10")})},
      {goal("q", {"p"})});
  EXPECT_EQ(provider_of(r, "p", "cpu"), "b 0.10");
}

TEST(Resolver, PrefersAReleaseToAPreReleaseAndPriorityToTheId) {
  auto high = plugin("b", {package("p", "1.0")});
  high.packages[0].priority = 5;
  const auto r = resolve({plugin("q", {}), plugin("a", {package("p", "1.0")}), high,
                          plugin("c", {package("p", "2.0rc1")})},
                         {goal("q", {"p"})});
  EXPECT_EQ(provider_of(r, "p", "cpu"), "b 1.0");
}

TEST(Resolver, ChoosesAProviderForEachKindOfDevice) {
  const auto r = resolve({plugin("q", {}), plugin("k.cpu", {package("p", "1.0", "cpu")}),
                          plugin("k.cuda", {package("p", "1.1", "cuda")})},
                         {goal("q", {"p"}, {"cuda", "cpu"})});
  ASSERT_TRUE(r.ok);
  EXPECT_EQ(provider_of(r, "p", "cpu"), "k.cpu 1.0");
  EXPECT_EQ(provider_of(r, "p", "cuda"), "k.cuda 1.1");
}

TEST(Resolver, TellsWhyAProviderIsUnavailable) {
  auto hip = plugin("k.hip", {package("p", "1.0", "hip")});
  hip.unavailable = "is unavailable: needs libamdhip64.so.5, which is not installed";
  const auto r = resolve({plugin("q", {}), hip, plugin("k.cpu", {package("p", "1.0", "cpu")})},
                         {goal("q", {"p"}, {"hip"})});
  EXPECT_FALSE(r.ok);
  EXPECT_THAT(r.proof(), AllOf(HasSubstr("k.hip 1.0: is unavailable: needs libamdhip64.so.5"),
                               HasSubstr("k.cpu 1.0: is for cpu, needed hip")));
}

TEST(Resolver, FallsBackToAnotherProviderWhenTheBestIsUnavailable) {
  auto best = plugin("a", {package("p", "2.0")});
  best.unavailable = "is untrusted: /x can be written by every user";
  const auto r =
      resolve({plugin("q", {}), best, plugin("b", {package("p", "1.0")})}, {goal("q", {"p"})});
  EXPECT_EQ(provider_of(r, "p", "cpu"), "b 1.0");
}

TEST(Resolver, RefusesTwoQuantizersThatConflict) {
  auto a = plugin("a", {});
  a.conflicts = {"b"};
  const auto r = resolve({a, plugin("b", {})}, {goal("a", {}), goal("b", {})});
  EXPECT_FALSE(r.ok);
  EXPECT_THAT(r.proof(), HasSubstr("b 1.0: conflicts with a, which is wanted too"));
}

TEST(Resolver, RefusesTwoQuantizersThatNeedDifferentVersionsOfOnePackage) {
  const auto r = resolve({plugin("a", {}), plugin("b", {}), plugin("k1", {package("p", "1.0")}),
                          plugin("k2", {package("p", "2.0")})},
                         {goal("a", {"p>=2"}), goal("b", {"p<2"})});
  EXPECT_FALSE(r.ok);
  EXPECT_THAT(r.proof(), AllOf(HasSubstr("b (method m) requires p<2"),
                               HasSubstr("because a (method m) requires p>=2"),
                               HasSubstr("k1 1.0: a (method m) requires p>=2")));
}

TEST(Resolver, GoesBackToALowerVersionWhenTheHighestCannotBeCompleted) {
  const auto r = resolve({plugin("q", {}), plugin("k2", {package("p", "2.0")}, {"nowhere"}),
                          plugin("k1", {package("p", "1.0")})},
                         {goal("q", {"p"})});
  ASSERT_TRUE(r.ok) << r.proof();
  EXPECT_EQ(provider_of(r, "p", "cpu"), "k1 1.0");
}

TEST(Resolver, ShowsTheCycleOfThree) {
  const auto r =
      resolve({plugin("a", {package("pa", "1")}, {"pb"}), plugin("b", {package("pb", "1")}, {"pc"}),
               plugin("c", {package("pc", "1")}, {"pa"})},
              {goal("a", {})});
  EXPECT_FALSE(r.ok);
  EXPECT_THAT(r.proof(), HasSubstr("a 1: would close a cycle: c -> a -> b -> c"));
}

TEST(Resolver, RefusesAnInterfaceOfAnotherKindAlthoughTheVersionFits) {
  ResolverGoal g = goal("q", {});
  g.requirements.push_back(with_interface("p>=1", "qh.p.kernels/2"));
  const auto r =
      resolve({plugin("q", {}), plugin("k", {package("p", "1.0", "cpu", "qh.p.kernels/1")})}, {g});
  EXPECT_FALSE(r.ok);
  EXPECT_THAT(r.proof(),
              HasSubstr("k 1.0: offers interface qh.p.kernels/1, needed qh.p.kernels/2"));
}

TEST(Resolver, LetsTheHostsOwnPackagesSatisfyWhatTheyCan) {
  EXPECT_TRUE(resolve({host(), plugin("q", {})}, {goal("q", {"accelerate>0.27.0"})}).ok);
  const auto r = resolve({host(), plugin("q", {})}, {goal("q", {"accelerate>99"})});
  EXPECT_FALSE(r.ok);
  EXPECT_THAT(r.proof(), HasSubstr("quanthost 1.15.0: version 1.15.0 does not satisfy >99"));
}

TEST(Resolver, TakesNamesAsPipDoes) {
  EXPECT_TRUE(resolve({plugin("q", {}), plugin("k", {package("auto_gptq", "0.7")})},
                      {goal("q", {"Auto-GPTQ>=0.4"})})
                  .ok);
}

TEST(Resolver, GoesWithoutAnOptionalPackage) {
  ResolverGoal g = goal("q", {"p"});
  g.requirements[0].optional = true;
  const auto r = resolve({plugin("q", {})}, {g});
  EXPECT_TRUE(r.ok);
  EXPECT_TRUE(r.packages.empty());
}

TEST(Resolver, PutsProvidersBeforeThoseThatNeedThem) {
  const auto r = resolve({plugin("q", {}), plugin("a", {package("pa", "1")}, {"pz"}),
                          plugin("z", {package("pz", "1")})},
                         {goal("q", {"pa"})});
  EXPECT_EQ(r.plugin_order, (std::vector<std::string>{"z", "a", "q"}));
}

TEST(Resolver, LeavesWhatWorksOutOfTheProof) {
  const auto r = resolve({host(), plugin("q", {}), plugin("k", {package("p", "1")})},
                         {goal("q", {"accelerate", "p", "missing"})});
  EXPECT_FALSE(r.ok);
  EXPECT_EQ(r.unmet.size(), 1u);
  EXPECT_THAT(r.proof(), Not(HasSubstr("accelerate")));
}

}  // namespace
}  // namespace quanthost
