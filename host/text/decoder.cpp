#include "host/text/decoder.hpp"

#include <charconv>
#include <functional>

#include "host/text/byte_level.hpp"
#include "host/text/pattern.hpp"
#include "host/text/utf8.hpp"

namespace quanthost::text {
namespace {

using Tokens = std::vector<std::string>;

class SimpleDecoder : public Decoder {
 public:
  explicit SimpleDecoder(std::function<Tokens(Tokens)> change) : change_(std::move(change)) {}
  Tokens decode(Tokens tokens) const override { return change_(std::move(tokens)); }

 private:
  std::function<Tokens(Tokens)> change_;
};

// A decoder that changes each token by itself; the first may be special.
std::unique_ptr<Decoder> each(
    std::function<void(std::string& token, std::size_t index, std::size_t count)> change) {
  return std::make_unique<SimpleDecoder>([change = std::move(change)](Tokens tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) change(tokens[i], i, tokens.size());
    return tokens;
  });
}

std::string join(const Tokens& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::string result;
  std::size_t begin = 0;
  for (std::size_t at; (at = text.find(from, begin)) != std::string::npos;
       begin = at + from.size()) {
    result.append(text, begin, at - begin).append(to);
  }
  text = result.append(text, begin);
}

// A token with a character outside the byte alphabet stands for itself.
Tokens decode_byte_level(const Tokens& tokens) {
  std::string bytes;
  for (const std::string& token : tokens) {
    if (!append_bytes_of(bytes, token)) bytes += token;
  }
  return {replace_invalid_utf8(bytes)};
}

// <0x0A> to its byte.
bool read_byte_token(const std::string& token, char& byte) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return false;
  unsigned value = 0;
  const char* end = token.data() + 5;
  if (std::from_chars(token.data() + 3, end, value, 16).ptr != end) return false;
  byte = static_cast<char>(value);
  return true;
}

// A run of byte tokens becomes text if it is valid UTF-8 as a whole, else one U+FFFD a byte.
void flush_bytes(std::string& bytes, Tokens& result) {
  if (bytes.empty()) return;
  if (replace_invalid_utf8(bytes) == bytes) {
    result.push_back(bytes);
  } else {
    result.insert(result.end(), bytes.size(), "\xEF\xBF\xBD");
  }
  bytes.clear();
}

Tokens decode_byte_fallback(const Tokens& tokens) {
  Tokens result;
  std::string bytes;
  for (const std::string& token : tokens) {
    char byte;
    if (read_byte_token(token, byte)) {
      bytes += byte;
    } else {
      flush_bytes(bytes, result);
      result.push_back(token);
    }
  }
  flush_bytes(bytes, result);
  return result;
}

// Cuts off up to `start` and `stop` repeats of the character.
void strip(std::string& token, const std::string& character, int start, int stop) {
  std::string_view rest = token;
  for (int i = 0; i < start && rest.starts_with(character); ++i)
    rest.remove_prefix(character.size());
  for (int i = 0; i < stop && rest.ends_with(character); ++i) rest.remove_suffix(character.size());
  token = std::string(rest);
}

// Undoes the spaces that splitting at punctuation put there.
void clean_up_english(std::string& text) {
  constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) replace_all(text, from, to);
}

std::unique_ptr<Decoder> read_metaspace(const Fields& fields) {
  const bool prepends = fields.string("prepend_scheme", "always") != "never" &&
                        fields.boolean("add_prefix_space", true);
  return each([mark = fields.character("replacement"), prepends](std::string& token,
                                                                 std::size_t index, std::size_t) {
    replace_all(token, mark, index == 0 && prepends ? "" : " ");
  });
}

std::unique_ptr<Decoder> read_wordpiece_decoder(const Fields& fields) {
  return each([prefix = fields.string("prefix", "##"), clean = fields.boolean("cleanup", true)](
                  std::string& token, std::size_t index, std::size_t) {
    if (index > 0) token = token.starts_with(prefix) ? token.substr(prefix.size()) : " " + token;
    if (clean) clean_up_english(token);
  });
}

std::unique_ptr<Decoder> read_bpe_decoder(const Fields& fields) {
  const std::string suffix = fields.string("suffix", "</w>");
  if (suffix.empty()) fail(ErrorKind::kValue, "{}: must not be empty", fields.where("suffix"));
  return each([suffix](std::string& token, std::size_t index, std::size_t count) {
    replace_all(token, suffix, index + 1 == count ? "" : " ");
  });
}

std::unique_ptr<Decoder> read_replace_decoder(const Fields& fields) {
  return each([pattern = read_pattern(fields), content = fields.string("content")](
                  std::string& token, std::size_t, std::size_t) {
    std::string result;
    pattern.partition(token, [&](std::size_t begin, std::size_t end, bool is_match) {
      is_match ? result += content : result.append(token, begin, end - begin);
    });
    token = std::move(result);
  });
}

std::unique_ptr<Decoder> read_strip(const Fields& fields) {
  return each([character = fields.character("content"), start = fields.count("start"),
               stop = fields.count("stop")](std::string& token, std::size_t, std::size_t) {
    strip(token, character, start, stop);
  });
}

class DecoderSequence : public Decoder {
 public:
  explicit DecoderSequence(const Fields& fields) {
    const Json& list = fields.array("decoders");
    for (std::size_t i = 0; i < list.size(); ++i) {
      parts_.push_back(
          read_decoder(Fields(list[i], fmt::format("{}[{}]", fields.where("decoders"), i))));
    }
  }
  Tokens decode(Tokens tokens) const override {
    for (const auto& part : parts_) tokens = part->decode(std::move(tokens));
    return tokens;
  }

 private:
  std::vector<std::unique_ptr<Decoder>> parts_;
};

}  // namespace

std::unique_ptr<Decoder> read_decoder(const Fields& fields) {
  const std::string type = fields.string("type");
  if (type == "Sequence") return std::make_unique<DecoderSequence>(fields);
  if (type == "ByteLevel") return std::make_unique<SimpleDecoder>(decode_byte_level);
  if (type == "ByteFallback") return std::make_unique<SimpleDecoder>(decode_byte_fallback);
  if (type == "Fuse")
    return std::make_unique<SimpleDecoder>(
        [](const Tokens& tokens) { return Tokens{join(tokens)}; });
  if (type == "Metaspace") return read_metaspace(fields);
  if (type == "WordPiece") return read_wordpiece_decoder(fields);
  if (type == "BPEDecoder") return read_bpe_decoder(fields);
  if (type == "Replace") return read_replace_decoder(fields);
  if (type == "Strip") return read_strip(fields);
  throw Error(ErrorKind::kNotImplemented,
              fmt::format("{}: the decoder type {:?} is not known", fields.where(), type),
              "known are Sequence, ByteLevel, ByteFallback, Fuse, Metaspace, WordPiece, "
              "BPEDecoder, Replace and Strip");
}

}  // namespace quanthost::text
