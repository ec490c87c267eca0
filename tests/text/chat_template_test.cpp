#include "host/text/chat_template.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quanthost::text {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kChatMl =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + "
    "'\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

std::string render(const std::string& source) {
  TokenizerConfig config;
  config.bos_token = "<s>";
  const std::vector<ChatMessage> messages = {{"user", "Hi"}, {"assistant", "Yo"}};
  return ChatTemplate(source, config, "test").render(messages);
}

std::string error_of(const std::string& source) {
  try {
    return "no error, but: " + render(source);
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(ChatTemplate, RendersChatMl) {
  EXPECT_EQ(render(kChatMl),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n<|im_start|>"
            "assistant\n");
}

TEST(ChatTemplate, LeavesTheGenerationPromptOutWhenAsked) {
  const std::vector<ChatMessage> messages = {{"user", "Hi"}};
  EXPECT_EQ(ChatTemplate(kChatMl, {}, "test").render(messages, GenerationPrompt::kOmit),
            "<|im_start|>user\nHi<|im_end|>\n");
}

TEST(ChatTemplate, TrimsBlocksAndIndentationAsTransformersDoes) {
  EXPECT_EQ(render("a\n  {% if true %}\n  b\n  {% endif %}\nc\n"), "a\n  b\nc");
  EXPECT_EQ(render("a  {%- if true -%}  b  {%- endif %}  c"), "ab  c");
}

TEST(ChatTemplate, KeepsWhatALoopSetsInsideTheLoop) {
  EXPECT_EQ(render("{% set x = 1 %}{% for m in messages %}{% set x = 2 %}{% endfor %}{{ x }}"),
            "1");
  EXPECT_EQ(render("{% set n = namespace(x=1) %}{% for m in messages %}{% set n.x = n.x + 1 %}{% "
                   "endfor %}{{ n.x }}"),
            "3");
}

TEST(ChatTemplate, PassesOnWhatTheTemplateRefuses) {
  EXPECT_THAT(error_of("\n{{ raise_exception('roles must alternate') }}"),
              AllOf(HasSubstr("test"), HasSubstr("line 2"), HasSubstr("roles must alternate")));
}

TEST(ChatTemplate, NamesWhatIsNotSupported) {
  EXPECT_THAT(error_of("{% include 'x' %}"),
              AllOf(HasSubstr("include"), HasSubstr("not supported")));
  EXPECT_THAT(error_of("{{ 'x' | wordwrap }}"), HasSubstr("wordwrap"));
  EXPECT_THAT(error_of("{{ 'x' is frozen }}"), HasSubstr("frozen"));
}

TEST(ChatTemplate, RefusesWhatIsNoJinja) {
  for (const char* source :
       {"{{ 1 +", "{% if %}", "{% for x %}{% endfor %}", "{{ 'a }}", "{% endif %}", "{% if true %}",
        "{# open", "{{ a b }}", "{{ [1, }}", "{{ ! }}"}) {
    EXPECT_THAT(error_of(source), HasSubstr("line 1")) << source;
  }
}

TEST(ChatTemplate, EndsHostileTemplates) {
  EXPECT_THAT(
      error_of("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"),
      HasSubstr("too long"));
  EXPECT_THAT(error_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), HasSubstr("too deeply"));
  EXPECT_THAT(error_of("{{ " + std::string(10000, '(') + "1" + std::string(10000, ')') + " }}"),
              HasSubstr("too deeply"));
  std::string chain = "{{ 1";
  for (int i = 0; i < 100000; ++i) chain += "+1";
  EXPECT_THAT(error_of(chain + " }}"), HasSubstr("too long"));
  EXPECT_THAT(error_of("{{ 9223372036854775807 + 1 }}"), HasSubstr("64 bits"));
  EXPECT_THAT(error_of("{{ 1 // 0 }}"), HasSubstr("zero"));
}

TEST(ChatTemplate, SaysWhenAModelHasNone) {
  EXPECT_THROW(ChatTemplate::load(std::filesystem::temp_directory_path() / "qh_no_such_model"),
               Error);
}

}  // namespace
}  // namespace quanthost::text
