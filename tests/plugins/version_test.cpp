#include "host/plugins/version.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>

#include "host/base/error.hpp"
#include "host/base/json.hpp"
#include "tests/folders.hpp"

namespace quanthost {
namespace {

bool parses(const std::string& constraints) {
  try {
    Constraints::parse(constraints);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// Holds everything here against what packaging answered.
void expect_agreement(const Json& golden) {
  for (const Json& entry : golden.at("versions")) {
    const auto text = entry.at(0).get<std::string>();
    EXPECT_EQ(Version::is_valid(text), entry.at(1).get<bool>()) << "'" << text << "'";
  }
  for (const Json& entry : golden.at("order")) {
    const auto a = entry.at(0).get<std::string>(), b = entry.at(1).get<std::string>();
    const auto order = Version::parse(a) <=> Version::parse(b);
    EXPECT_EQ(order < 0 ? -1 : order > 0 ? 1 : 0, entry.at(2).get<int>()) << a << " and " << b;
  }
  for (const Json& entry : golden.at("constraints")) {
    const auto text = entry.at(0).get<std::string>();
    EXPECT_EQ(parses(text), !entry.at(1).is_null()) << "'" << text << "'";
    if (entry.at(1).is_null() || !parses(text)) continue;
    const Constraints constraints = Constraints::parse(text);
    const auto allowed = entry.at(1).get<std::set<std::string>>();
    for (const Json& version : golden.at("versions")) {
      if (!version.at(1).get<bool>()) continue;
      const auto v = version.at(0).get<std::string>();
      EXPECT_EQ(constraints.allows(Version::parse(v)), allowed.contains(v))
          << v << " in '" << text << "'";
    }
  }
}

TEST(Version, AgreesWithPackagingOnTheGoldenFile) {
  std::ifstream file(test::source_folder() + "/tests/plugins/golden/pep440.json");
  const Json golden = Json::parse(file);
  ASSERT_GT(golden.at("constraints").size(), 50u);
  expect_agreement(golden);
}

TEST(Version, AgreesWithPackagingOnRandomOnes) {
  const std::string python = test::source_folder() + "/.venv/bin/python";
  if (!std::filesystem::exists(python))
    GTEST_SKIP() << "there is no .venv with packaging; scripts/setup makes it";
  for (int seed : {1, 2, 3}) {
    const std::string command = python + " " + test::source_folder() +
                                "/tests/plugins/golden/make_pep440.py --seed " +
                                std::to_string(seed);
    FILE* pipe = ::popen(command.c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    std::string text;
    std::array<char, 65536> buffer;
    for (std::size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
      text.append(buffer.data(), n);
    ASSERT_EQ(::pclose(pipe), 0);
    expect_agreement(Json::parse(text));
  }
}

TEST(Version, RefusesNumbersBeyond64Bits) {
  EXPECT_FALSE(Version::is_valid("18446744073709551616"));
  EXPECT_FALSE(Version::is_valid("1.0rc99999999999999999999"));
  EXPECT_FALSE(Version::is_valid(std::string(300, '1')));
}

TEST(Constraints, SayWhatIsAllowedWhenOneIsNotUnderstood) {
  try {
    Constraints::parse("=>1.0");
    FAIL() << "was accepted";
  } catch (const Error& e) {
    EXPECT_NE(e.message().find("'=>1.0'"), std::string::npos);
    EXPECT_NE(e.hint().find("~="), std::string::npos);
  }
}

}  // namespace
}  // namespace quanthost
