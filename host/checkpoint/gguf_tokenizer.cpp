#include "host/checkpoint/gguf_tokenizer.hpp"

#include "host/base/error.hpp"
#include "host/checkpoint/gguf_vocabulary.hpp"

namespace quanthost {
namespace {

constexpr std::string_view kPrefix = "tokenizer.ggml.";
constexpr std::string_view kMetaspace = "\u2581";  // SentencePiece's visible space
constexpr std::uint64_t kNoLengthLimit = 1'000'000'000;

std::string key(std::string_view name) { return fmt::format("{}{}", kPrefix, name); }

// Splits text into the words that are merged on their own. The regular expressions are those of the
// models' own tokenizers; llama.cpp writes the same sets in other ways.
constexpr const char* kLlama3Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct BytePairKind {
  std::string_view name;  // as in tokenizer.ggml.pre
  const char* split;      // null: GPT-2's own split
  bool individual_digits;
  bool unicode_nfc;
  bool whole_words_first;  // a word that is a token is taken without looking at merges
  bool begins_by_default;  // puts the begin token first unless the file says otherwise
};

constexpr BytePairKind kBytePairKinds[] = {
    {"gpt-2", nullptr, false, false, false, false},
    {"smollm", nullptr, true, false, false, false},
    {"llama-bpe", kLlama3Split, false, false, true, true},
    {"llama3", kLlama3Split, false, false, true, true},
    {"qwen2", kQwen2Split, false, true, false, false},
};

const BytePairKind& byte_pair_kind(const GgufMetadata& metadata) {
  const std::string* name = metadata.text(key("pre"));
  std::string known;
  for (const BytePairKind& kind : kBytePairKinds) {
    if (name != nullptr && kind.name == *name) return kind;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", kind.name);
  }
  throw Error(ErrorKind::kNotImplemented,
              name ? fmt::format("the pre-tokenizer \"{}\" is not converted", *name)
                   : fmt::format("metadata {} is missing, so it is not known how text is split",
                                 key("pre")),
              "pre-tokenizers that are: " + known);
}

OrderedJson byte_level(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

OrderedJson pre_tokenizer(const BytePairKind& kind) {
  if (kind.split != nullptr) {
    const OrderedJson split = {{"type", "Split"},
                               {"pattern", {{"Regex", kind.split}}},
                               {"behavior", "Isolated"},
                               {"invert", false}};
    return {{"type", "Sequence"},
            {"pretokenizers", OrderedJson::array({split, byte_level(false)})}};
  }
  if (kind.individual_digits) {
    const OrderedJson digits = {{"type", "Digits"}, {"individual_digits", true}};
    return {{"type", "Sequence"},
            {"pretokenizers", OrderedJson::array({digits, byte_level(true)})}};
  }
  return byte_level(true);
}

// Puts a token before every text (and between two): what "add_bos_token" means.
OrderedJson begin_template(const std::string& token, std::uint64_t id) {
  const OrderedJson begin = {{"SpecialToken", {{"id", token}, {"type_id", 0}}}};
  const auto sequence = [](const char* name) {
    return OrderedJson{{"Sequence", {{"id", name}, {"type_id", 0}}}};
  };
  return {{"type", "TemplateProcessing"},
          {"single", OrderedJson::array({begin, sequence("A")})},
          {"pair", OrderedJson::array({begin, sequence("A"), begin, sequence("B")})},
          {"special_tokens",
           {{token,
             {{"id", token},
              {"ids", OrderedJson::array({id})},
              {"tokens", OrderedJson::array({token})}}}}}};
}

OrderedJson added_tokens(const GgufVocabulary& vocabulary) {
  OrderedJson added = OrderedJson::array();
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const TokenKind kind = vocabulary.kinds[id];
    const bool special = kind == TokenKind::kControl || kind == TokenKind::kUnknown;
    if (!special && kind != TokenKind::kUserDefined) continue;
    added.push_back({{"id", id},
                     {"content", vocabulary.tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", special}});
  }
  return added;
}

std::string quoted(const std::string& text) { return Json(text).dump(); }

struct TokenizerParts {
  OrderedJson normalizer;  // null where there is none
  OrderedJson pre_tokenizer;
  OrderedJson post_processor;
  OrderedJson decoder;
  OrderedJson model_options;  // the entries of "model" before vocab and merges
};

// Written as text: a JSON object that keeps its order would look up each of 100,000 keys one by
// one.
std::string tokenizer_text(const GgufVocabulary& vocabulary, const Merges& merges,
                           const TokenizerParts& parts) {
  const OrderedJson head = {{"version", "1.0"},
                            {"truncation", nullptr},
                            {"padding", nullptr},
                            {"added_tokens", added_tokens(vocabulary)},
                            {"normalizer", parts.normalizer},
                            {"pre_tokenizer", parts.pre_tokenizer},
                            {"post_processor", parts.post_processor},
                            {"decoder", parts.decoder},
                            {"model", parts.model_options}};
  std::string text = head.dump();
  text.erase(text.size() - 2);  // the braces that close "model" and the whole
  text += ",\"vocab\":{";
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    text += fmt::format("{}{}:{}", id == 0 ? "" : ",", quoted(vocabulary.tokens[id]), id);
  }
  text += "},\"merges\":[";
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    text += fmt::format("{}[{},{}]", rank == 0 ? "" : ",", quoted(merges[rank].first),
                        quoted(merges[rank].second));
  }
  return text + "]}}\n";
}

OrderedJson model_options(const OrderedJson& unknown, bool byte_fallback, bool whole_words_first) {
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unknown},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", byte_fallback},
          {"byte_fallback", byte_fallback},
          {"ignore_merges", whole_words_first}};
}

TokenizerParts byte_pair_parts(const BytePairKind& kind) {
  TokenizerParts parts;
  if (kind.unicode_nfc) parts.normalizer = {{"type", "NFC"}};
  parts.pre_tokenizer = pre_tokenizer(kind);
  parts.post_processor = byte_level(true);
  parts.decoder = byte_level(true);
  parts.model_options = model_options(nullptr, false, kind.whole_words_first);
  return parts;
}

// SentencePiece: spaces become visible, one goes in front, and what is no token falls apart into
// bytes.
TokenizerParts sentence_piece_parts(const GgufMetadata& metadata, const GgufVocabulary& vocabulary,
                                    const SpecialTokens& special) {
  const bool prefix_space = metadata.boolean(key("add_space_prefix")).value_or(true);
  const OrderedJson replace = {
      {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kMetaspace}};
  TokenizerParts parts;
  parts.normalizer = replace;
  OrderedJson decoders = OrderedJson::array(
      {{{"type", "Replace"}, {"pattern", {{"String", kMetaspace}}}, {"content", " "}},
       {{"type", "ByteFallback"}},
       {{"type", "Fuse"}}});
  if (prefix_space) {
    const OrderedJson prepend = {{"type", "Prepend"}, {"prepend", kMetaspace}};
    parts.normalizer = {{"type", "Sequence"},
                        {"normalizers", OrderedJson::array({prepend, replace})}};
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  parts.decoder = {{"type", "Sequence"}, {"decoders", decoders}};
  const OrderedJson unknown =
      special.unknown ? OrderedJson(vocabulary.token(*special.unknown)) : OrderedJson(nullptr);
  parts.model_options = model_options(unknown, true, false);
  return parts;
}

Json tokenizer_config(const GgufMetadata& metadata, const GgufVocabulary& vocabulary,
                      const SpecialTokens& special, bool begins) {
  const auto token = [&](const std::optional<std::uint64_t>& id) {
    return id ? Json(vocabulary.token(*id)) : Json(nullptr);
  };
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"add_bos_token", begins},
                 {"add_eos_token", false},
                 {"add_prefix_space", false},
                 {"bos_token", token(special.bos)},
                 {"eos_token", token(special.eos)},
                 {"unk_token", token(special.unknown)},
                 {"pad_token", token(special.padding)},
                 {"clean_up_tokenization_spaces", false},
                 {"model_max_length", kNoLengthLimit}};
  const std::string& architecture = metadata.required_text("general.architecture");
  if (const auto length = metadata.unsigned_number(architecture + ".context_length")) {
    config["model_max_length"] = *length;
  }
  if (const std::string* chat = metadata.text("tokenizer.chat_template"))
    config["chat_template"] = *chat;
  Json decoder = Json::object();
  for (const auto& added : added_tokens(vocabulary)) {
    Json entry(added);
    entry.erase("id");
    decoder[std::to_string(added.at("id").get<std::uint64_t>())] = entry;
  }
  config["added_tokens_decoder"] = decoder;
  return config;
}

}  // namespace

GgufTokenizer read_gguf_tokenizer(const GgufMetadata& metadata) {
  const GgufVocabulary vocabulary = read_gguf_vocabulary(metadata);
  GgufTokenizer result;
  SpecialTokens& special = result.special;
  special = {metadata.unsigned_number(key("bos_token_id")),
             metadata.unsigned_number(key("eos_token_id")),
             metadata.unsigned_number(key("unknown_token_id")),
             metadata.unsigned_number(key("padding_token_id"))};
  for (const auto& id : {special.bos, special.eos, special.unknown, special.padding}) {
    if (id) vocabulary.token(*id);  // refuses an id out of range
  }

  const std::string& model = metadata.required_text(key("model"));
  TokenizerParts parts;
  Merges merges;
  bool begins = false;
  if (model == "gpt2") {
    const BytePairKind& kind = byte_pair_kind(metadata);
    parts = byte_pair_parts(kind);
    merges = read_gguf_merges(metadata, vocabulary);
    begins = kind.begins_by_default;
  } else if (model == "llama") {
    parts = sentence_piece_parts(metadata, vocabulary, special);
    merges = merges_from_scores(metadata, vocabulary);
    begins = true;
  } else {
    throw Error(ErrorKind::kNotImplemented,
                fmt::format("the tokenizer model \"{}\" is not converted", model),
                "tokenizer models that are: gpt2 (byte-level BPE), llama (SentencePiece)");
  }
  begins = metadata.boolean(key("add_bos_token")).value_or(begins) && special.bos;
  if (begins) {
    OrderedJson begin = begin_template(vocabulary.token(*special.bos), *special.bos);
    parts.post_processor =
        parts.post_processor.is_null()
            ? begin
            : OrderedJson{{"type", "Sequence"},
                          {"processors", OrderedJson::array({parts.post_processor, begin})}};
  }
  result.tokenizer_json = tokenizer_text(vocabulary, merges, parts);
  result.tokenizer_config = tokenizer_config(metadata, vocabulary, special, begins);
  if (special.eos) result.end_ids.push_back(*special.eos);
  const auto end_of_turn = metadata.unsigned_number(key("eot_token_id"));
  if (end_of_turn && end_of_turn != special.eos) {
    vocabulary.token(*end_of_turn);
    result.end_ids.push_back(*end_of_turn);
  }
  return result;
}

}  // namespace quanthost
