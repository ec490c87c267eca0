// Text to token ids and back, as a checkpoint's tokenizer.json says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quanthost::text {

using TokenId = std::int32_t;

// encode: kAdd runs the post-processor's template ("<s> … </s>"), kOmit leaves the bare text.
// decode: kAdd shows special tokens, kOmit skips them.
enum class SpecialTokens { kAdd, kOmit };

// Immutable and cheap to copy; every function may be called from any thread at once.
//
// The way of a text through encode(): added tokens are cut out, the rest is normalized, split into
// pieces by the pre-tokenizer, each piece turned into ids by the model, and the post-processor puts
// special tokens around the result. Truncation and padding settings in the file are not applied.
class Tokenizer {
 public:
  // Reads tokenizer.json from a model's folder; without one, the older files: vocab.json with
  // merges.txt, or vocab.txt.
  static Tokenizer load(const std::filesystem::path& model_folder);
  // `where` names the source in errors.
  static Tokenizer from_json(std::string_view json, std::string_view where);

  // Text must be valid UTF-8: anything else is refused with the offset of the first bad byte.
  std::vector<TokenId> encode(std::string_view text,
                              SpecialTokens special = SpecialTokens::kAdd) const;
  std::vector<TokenId> encode_pair(std::string_view first, std::string_view second,
                                   SpecialTokens special = SpecialTokens::kAdd) const;

  // Ids that are not in the vocabulary are skipped, as the original does. The result is valid
  // UTF-8: byte sequences that are not become U+FFFD.
  std::string decode(std::span<const TokenId> ids,
                     SpecialTokens special = SpecialTokens::kOmit) const;

  std::optional<TokenId> id_of(std::string_view token) const;
  std::optional<std::string> token_of(TokenId id) const;
  bool is_special(TokenId id) const;
  std::size_t vocab_size() const;  // distinct tokens of the model and added ones together

 private:
  struct Pipeline;
  explicit Tokenizer(std::shared_ptr<const Pipeline> pipeline);
  std::shared_ptr<const Pipeline> pipeline_;
};

}  // namespace quanthost::text
