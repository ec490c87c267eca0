#include "host/text/post_processor.hpp"

#include <map>
#include <string>

namespace quanthost::text {
namespace {

// ByteLevel only moves character offsets, which ids do not have.
class Nothing : public PostProcessor {
 public:
  Encodings process(Encodings texts, SpecialTokens) const override { return texts; }
};

class PostProcessorSequence : public PostProcessor {
 public:
  explicit PostProcessorSequence(const Fields& fields) {
    const Json& list = fields.array("processors");
    for (std::size_t i = 0; i < list.size(); ++i) {
      parts_.push_back(read_post_processor(
          Fields(list[i], fmt::format("{}[{}]", fields.where("processors"), i))));
    }
  }
  Encodings process(Encodings texts, SpecialTokens special) const override {
    for (const auto& part : parts_) texts = part->process(std::move(texts), special);
    return texts;
  }

 private:
  std::vector<std::unique_ptr<PostProcessor>> parts_;
};

// "[CLS] $A [SEP] $B [SEP]", one list for a single text and one for a pair.
class Template : public PostProcessor {
 public:
  explicit Template(const Fields& fields) : where_(fields.where()) {
    if (const Json* tokens = fields.find("special_tokens")) {
      for (const auto& [name, value] : tokens->items()) {
        special_tokens_[name] =
            read_ids(Fields(value, fields.where("special_tokens") + "." + name));
      }
    }
    single_ = read_parts(fields, "single", 1);
    pair_ = read_parts(fields, "pair", 2);
  }

  Encodings process(Encodings texts, SpecialTokens special) const override {
    if (texts.size() > 2)
      fail(ErrorKind::kValue, "{}: a template cannot follow another one", where_);
    Encodings result;
    for (const Part& part : texts.size() == 2 ? pair_ : single_) {
      if (part.text >= 0) {
        result.push_back(texts[static_cast<std::size_t>(part.text)]);
      } else if (special == SpecialTokens::kAdd) {
        result.push_back(part.ids);
      }
    }
    return result;
  }

 private:
  struct Part {
    int text;  // 0 or 1: that text; -1: the ids
    std::vector<TokenId> ids;
  };

  static std::vector<TokenId> read_ids(const Fields& fields) {
    const Json& list = fields.array("ids");
    std::vector<TokenId> ids;
    for (const Json& id : list) {
      if (!id.is_number_integer() || id < 0 || id > INT32_MAX) {
        fail(ErrorKind::kValue, "{}: needs token ids", fields.where("ids"));
      }
      ids.push_back(id.get<TokenId>());
    }
    return ids;
  }

  std::vector<Part> read_parts(const Fields& fields, const char* name, int texts) const {
    std::vector<Part> parts;
    const Json& list = fields.array(name);
    for (std::size_t i = 0; i < list.size(); ++i) {
      parts.push_back(
          read_part(Fields(list[i], fmt::format("{}[{}]", fields.where(name), i)), texts));
    }
    return parts;
  }

  Part read_part(const Fields& fields, int texts) const {
    if (fields.has("Sequence")) {
      const std::string id = fields.object("Sequence").string("id");
      const int text = id == "A" ? 0 : id == "B" ? 1 : -1;
      if (text < 0 || text >= texts)
        fail(ErrorKind::kValue, "{}: there is no text {:?} here", fields.where(), id);
      return {text, {}};
    }
    const std::string name = fields.object("SpecialToken").string("id");
    const auto it = special_tokens_.find(name);
    if (it == special_tokens_.end()) {
      fail(ErrorKind::kValue, "{}: {:?} is not among the template's special_tokens", fields.where(),
           name);
    }
    return {-1, it->second};
  }

  std::string where_;
  std::map<std::string, std::vector<TokenId>> special_tokens_;
  std::vector<Part> single_;
  std::vector<Part> pair_;
};

// BERT: [CLS] A [SEP] B [SEP]. RoBERTa: <s> A </s></s> B </s>.
class FixedTemplate : public PostProcessor {
 public:
  FixedTemplate(const Fields& fields, bool separator_before_second)
      : begin_(read_id(fields, "cls")),
        end_(read_id(fields, "sep")),
        separator_before_second_(separator_before_second) {}

  Encodings process(Encodings texts, SpecialTokens special) const override {
    if (special == SpecialTokens::kOmit) return texts;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      std::vector<TokenId>& ids = texts[i];
      if (i == 0) ids.insert(ids.begin(), begin_);
      if (i > 0 && separator_before_second_) ids.insert(ids.begin(), end_);
      ids.push_back(end_);
    }
    return texts;
  }

 private:
  // ["[SEP]", 102]
  static TokenId read_id(const Fields& fields, const char* name) {
    const Json& pair = fields.array(name);
    if (pair.size() != 2 || !pair[1].is_number_integer() || pair[1] < 0 || pair[1] > INT32_MAX) {
      fail(ErrorKind::kValue, "{}: needs [token, id]", fields.where(name));
    }
    return pair[1].get<TokenId>();
  }

  TokenId begin_;
  TokenId end_;
  bool separator_before_second_;
};

}  // namespace

std::unique_ptr<PostProcessor> read_post_processor(const Fields& fields) {
  const std::string type = fields.string("type");
  if (type == "TemplateProcessing") return std::make_unique<Template>(fields);
  if (type == "ByteLevel") return std::make_unique<Nothing>();
  if (type == "BertProcessing") return std::make_unique<FixedTemplate>(fields, false);
  if (type == "RobertaProcessing") return std::make_unique<FixedTemplate>(fields, true);
  if (type == "Sequence") return std::make_unique<PostProcessorSequence>(fields);
  throw Error(
      ErrorKind::kNotImplemented,
      fmt::format("{}: the post-processor type {:?} is not known", fields.where(), type),
      "known are TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing and Sequence");
}

}  // namespace quanthost::text
