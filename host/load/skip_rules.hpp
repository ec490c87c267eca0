// Which modules a quantizer leaves alone: transformers' defaults, and its rule for matching names
// against a list.
#pragma once

#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quanthost {

// The facts about a model that the default list is made from.
struct SkipFacts {
  std::vector<std::pair<std::string, std::string>>
      tied;                       // parameter -> the one whose memory it shares
  std::string last_parameter;     // of named_parameters
  std::string output_embeddings;  // module; empty for a model without a head
};

// transformers 5: both sides of every tie, the last parameter and the output embeddings, without a
// trailing ".weight".
std::vector<std::string> default_modules_to_not_convert(const SkipFacts& facts);
// transformers 4.41: the output embeddings alone when nothing is tied, else the last parameter and
// the tied ones, without
// ".weight" and ".bias".
std::vector<std::string> default_modules_to_not_convert_4_41(const SkipFacts& facts);

// transformers 5's should_convert_module, turned around. A pattern skips a module when, read as a
// regular expression, it matches at the start of the name, or when the name ends with it as text.
// So "model.layers.1" skips "model.layers.11.mlp" too, and "layers.3" does not skip
// "model.layers.3.mlp".
class SkipList {
 public:
  explicit SkipList(std::vector<std::string>
                        patterns);  // throws kValue for a pattern that is no regular expression
  bool skips(std::string_view module) const;
  // The pattern that skips it, for explanations.
  std::optional<std::string> reason(std::string_view module) const;

 private:
  std::vector<std::string> patterns_;
  std::vector<std::regex> expressions_;
};

// transformers 4.41's rules, for checkpoints whose skip list was written for them.
bool skips_bnb_4_41(std::string_view module, const std::vector<std::string>& keys);
bool skips_quanto_4_41(std::string_view module, const std::vector<std::string>& keys);

}  // namespace quanthost
