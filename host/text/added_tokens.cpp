#include "host/text/added_tokens.hpp"

#include <algorithm>

#include "host/text/unicode.hpp"
#include "host/text/utf8.hpp"

namespace quanthost::text {
namespace {

bool word_ends_at(std::string_view text, std::size_t at) {
  return at > 0 && is_word(previous_code_point(text, at));
}

bool word_begins_at(std::string_view text, std::size_t at) {
  return at < text.size() && is_word(next_code_point(text, at));
}

std::size_t before_whitespace(std::string_view text, std::size_t at) {
  while (at > 0) {
    std::size_t previous = at;
    if (!is_whitespace(previous_code_point(text, previous))) break;
    at = previous;
  }
  return at;
}

std::size_t behind_whitespace(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    std::size_t next = at;
    if (!is_whitespace(next_code_point(text, next))) break;
    at = next;
  }
  return at;
}

AddedToken read_token(const Fields& fields) {
  AddedToken token;
  token.content = fields.string("content");
  token.single_word = fields.boolean("single_word", false);
  token.lstrip = fields.boolean("lstrip", false);
  token.rstrip = fields.boolean("rstrip", false);
  token.special = fields.boolean("special", false);
  token.normalized = fields.boolean("normalized", !token.special);
  return token;
}

}  // namespace

AddedTokens::AddedTokens(const Json& list, const std::string& where, const Vocab& vocab,
                         const Normalizer* normalizer) {
  if (!list.is_array()) fail(ErrorKind::kValue, "{}: needs an array", where);
  auto next_id = static_cast<std::int64_t>(vocab.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    AddedToken token = read_token(Fields(list[i], fmt::format("{}[{}]", where, i)));
    if (token.content.empty()) continue;
    auto id = id_of(token.content);
    if (!id) id = vocab.id_of(token.content);
    if (!id && next_id > INT32_MAX)
      fail(ErrorKind::kValue, "{}: no id is left for {:?}", where, token.content);
    token.id = id ? *id : static_cast<TokenId>(next_id++);
    token.normal_form =
        token.normalized && normalizer ? normalizer->normalized(token.content) : token.content;
    add(std::move(token));
  }
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    if (by_id_.at(token.id) != i) continue;
    (token.normalized ? normalized_ : raw_).insert(token.normal_form, static_cast<std::int32_t>(i));
  }
}

void AddedTokens::add(AddedToken token) {
  if (token.special) special_.insert(token.content);
  by_content_[token.content] = tokens_.size();
  by_id_[token.id] = tokens_.size();
  tokens_.push_back(std::move(token));
}

void AddedTokens::Matcher::insert(std::string_view pattern, std::int32_t token) {
  if (pattern.empty()) return;
  trie.insert(pattern, token);
  first_bytes[static_cast<unsigned char>(pattern[0])] = true;
}

std::int32_t AddedTokens::Matcher::match(std::string_view text, std::size_t at,
                                         std::size_t& length) const {
  std::int32_t longest = -1;
  if (!first_bytes[static_cast<unsigned char>(text[at])]) return longest;
  trie.prefixes(text.substr(at), [&](std::size_t bytes, std::int32_t token) {
    length = bytes;
    longest = token;
  });
  return longest;
}

void AddedTokens::split(std::string_view text, Stage stage, const Visit& visit) const {
  const Matcher& matcher = stage == Stage::kRaw ? raw_ : normalized_;
  std::size_t covered = 0;
  std::size_t length = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::int32_t found = matcher.match(text, at, length);
    if (found < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<std::size_t>(found)];
    std::size_t begin = at;
    std::size_t end = at + length;
    at = end;
    if (token.single_word && (word_ends_at(text, begin) || word_begins_at(text, end))) continue;
    if (token.lstrip) begin = std::max(before_whitespace(text, begin), covered);
    if (token.rstrip) end = behind_whitespace(text, end);
    if (covered < begin) visit(text.substr(covered, begin - covered), nullptr);
    visit(text.substr(begin, end - begin), &token);
    covered = end;
  }
  if (covered < text.size()) visit(text.substr(covered), nullptr);
}

std::optional<TokenId> AddedTokens::id_of(std::string_view content) const {
  const auto it = by_content_.find(std::string(content));
  return it == by_content_.end() ? std::nullopt : std::optional(tokens_[it->second].id);
}

const AddedToken* AddedTokens::find(TokenId id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &tokens_[it->second];
}

std::size_t AddedTokens::count_outside(const Vocab& vocab) const {
  return static_cast<std::size_t>(
      std::count_if(by_content_.begin(), by_content_.end(),
                    [&](const auto& entry) { return !vocab.id_of(entry.first); }));
}

}  // namespace quanthost::text
