#include "host/plugins/simple_yaml.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "host/plugins/yaml.hpp"
#include "tests/folders.hpp"

namespace quanthost {
namespace {

namespace fs = std::filesystem;

std::optional<OrderedJson> simple(std::string_view text) { return parse_simple_yaml(text, 16); }

TEST(SimpleYaml, ReadsEveryManifestOfThisProjectAsTheFullParserDoes) {
  int count = 0;
  for (const char* folder : {"plugins", "examples"}) {
    for (const auto& entry :
         fs::recursive_directory_iterator(fs::path(test::source_folder()) / folder)) {
      if (entry.path().extension() != ".yaml") continue;
      std::ifstream file(entry.path());
      const std::string text{std::istreambuf_iterator<char>(file), {}};
      const auto value = simple(text);
      ASSERT_TRUE(value) << entry.path();
      EXPECT_EQ(*value, parse_full_yaml(text, "t")) << entry.path();
      ++count;
    }
  }
  EXPECT_GE(count, 8);
}

TEST(SimpleYaml, NestsMapsAndListsByIndent) {
  const char* text =
      "a:\n"
      "- x: 1\n"
      "  y: [1, 2.5, {b: true, c: null}]\n"
      "\n"
      "- plain text, with [brackets] and \"quotes\"\n"
      "# a comment\n"
      "b:\n"
      "    - c:\n"
      "        - 'single'\n"
      "      d: {}\n"
      "e: \"a: b # c\"\n";
  ASSERT_TRUE(simple(text));
  EXPECT_EQ(*simple(text), parse_full_yaml(text, "t"));
  EXPECT_EQ((*simple(text))["a"][0]["y"][2]["b"], true);
}

TEST(SimpleYaml, LeavesEverythingElseToTheFullParser) {
  for (const char* text : {"",
                           "text",
                           "# a comment",
                           "a: &b 1",
                           "a: *b",
                           "a: !!int 1",
                           "a: |\n  text\n",
                           "a: >\n  text\n",
                           "a: one\n  two\n",
                           "a: \"one\n  two\"\n",
                           "a: 'it''s'\n",
                           "a: \"\\u00e9\"\n",
                           "a: \xC3\xA9\n",
                           "a:\tb\n",
                           "a: b\r\n",
                           "a: 1\na: 2\n",
                           "{a: 1, a: 2}",
                           "a: {b: 1, b: 2}\n",
                           "a:\n",
                           "a: b: c\n",
                           "a: b # comment\n",
                           "a: [1, 2\n",
                           "a: [1,\n  2]\n",
                           "a: [1, ]\n",
                           "a: {b}\n",
                           "- - 1\n",
                           "-\n  a: 1\n",
                           "? a\n: b\n",
                           "---\na: 1\n",
                           "a: 1\n...\n",
                           "a:\n   b: 1\n  c: 2\n",
                           "  a: 1\n b: 2\n",
                           "a: 1\n- 2\n",
                           "\"a\": 1\n",
                           "a : 1\n",
                           "a:1\n",
                           "a: \"x\" y\n",
                           "a: -1\n",
                           "a: .inf\n",
                           "null: 1\n",
                           "{Null: 1}",
                           "<<: 1\n"}) {
    EXPECT_FALSE(simple(text)) << text;
  }
  EXPECT_FALSE(parse_simple_yaml("a: [[1]]\n", 2)) << "deeper than allowed";
  EXPECT_TRUE(parse_simple_yaml("a: [[1]]\n", 3));
}

}  // namespace
}  // namespace quanthost
