#include "host/text/tokenizer_document.hpp"

namespace quanthost::text {
namespace {

constexpr std::size_t kMaxDepth = 500;  // that of parse_json(), which reports it

// Gets the file in pieces. Every function returns whether to go on.
class Reader : public Json::json_sax_t {
 public:
  Reader(TokenizerDocument& document, const std::string& where)
      : document_(document), where_(where) {}

  bool null() override { return add_scalar(nullptr); }
  bool boolean(bool value) override { return add_scalar(value); }
  bool number_integer(Json::number_integer_t value) override { return add_scalar(value); }
  bool number_float(Json::number_float_t value, const std::string&) override {
    return add_scalar(value);
  }
  bool binary(Json::binary_t& value) override { return add_scalar(std::move(value)); }

  bool number_unsigned(Json::number_unsigned_t value) override {
    if (list_ != List::kVocab || value > INT32_MAX) return add_scalar(value);
    document_.vocab->add(key_, static_cast<TokenId>(value));
    return true;
  }

  bool string(std::string& value) override {
    if (list_ != List::kMerges) return add_scalar(std::move(value));
    if (in_pair_) {
      ++tokens_in_pair_;
      document_.merges->add(value);
    } else {
      add_merge(value);
    }
    return true;
  }

  bool key(std::string& name) override {
    key_.swap(name);
    if (list_ != List::kNone) return true;
    // Of two fields with one name, the last counts.
    if (open_.size() == 1 && key_ == "model") document_.vocab.reset(), document_.merges.reset();
    if (in_model() && key_ == "vocab") document_.vocab.reset(), open_.back()->erase(key_);
    if (in_model() && key_ == "merges") document_.merges.reset(), open_.back()->erase(key_);
    return true;
  }

  bool start_object(std::size_t) override {
    if (list_ != List::kNone) refuse("an object");
    if (!in_model() || key_ != "vocab") return open(Json::object());
    list_ = List::kVocab;
    document_.vocab.emplace();
    return true;
  }
  bool end_object() override {
    list_ == List::kVocab ? leave_list() : close();
    return true;
  }

  bool start_array(std::size_t) override {
    if (list_ == List::kVocab || in_pair_) refuse("a list");
    if (list_ == List::kMerges) {
      in_pair_ = true;
      tokens_in_pair_ = 0;
      return true;
    }
    if (!in_model() || key_ != "merges") return open(Json::array());
    list_ = List::kMerges;
    document_.merges.emplace();
    return true;
  }
  bool end_array() override {
    if (in_pair_) {
      if (tokens_in_pair_ != 2) refuse(fmt::format("a list of {}", tokens_in_pair_));
      in_pair_ = false;
      ++merges_;
    } else {
      list_ == List::kMerges ? leave_list() : close();
    }
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const Json::exception&) override {
    return false;
  }

 private:
  enum class List { kNone, kVocab, kMerges };

  bool in_model() const {
    return open_.size() == 2 && top_key_ == "model" && open_.back()->is_object();
  }

  void leave_list() {
    list_ = List::kNone;
    merges_ = 0;
  }

  bool add_scalar(Json value) {
    if (list_ != List::kNone) refuse(value.dump(-1, ' ', false, Json::error_handler_t::replace));
    add(std::move(value));
    return true;
  }

  // The value's place does not move while it is the innermost that is open.
  Json& add(Json value) {
    if (open_.empty()) return document_.rest = std::move(value);
    Json& parent = *open_.back();
    if (parent.is_array()) return parent.emplace_back(std::move(value));
    return parent[key_] = std::move(value);
  }

  bool open(Json value) {
    if (open_.size() == kMaxDepth) return false;
    if (open_.size() == 1) top_key_ = key_;
    open_.push_back(&add(std::move(value)));
    return true;
  }
  void close() { open_.pop_back(); }

  // Older files hold "a b", newer ones ["a", "b"].
  void add_merge(std::string_view text) {
    const std::size_t space = text.find(' ');
    if (space == text.npos || text.find(' ', space + 1) != text.npos)
      refuse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace));
    document_.merges->add(text.substr(0, space));
    document_.merges->add(text.substr(space + 1));
    ++merges_;
  }

  [[noreturn]] void refuse(std::string_view found) const {
    if (list_ == List::kVocab) {
      fail(ErrorKind::kValue,
           "{}.model.vocab: token {:?} needs an id from 0 to 2147483647, found {}", where_, key_,
           found);
    }
    fail(ErrorKind::kValue, "{}.model.merges[{}]: needs two tokens, found {}", where_, merges_,
         found);
  }

  TokenizerDocument& document_;
  const std::string& where_;
  std::vector<Json*> open_;  // objects and arrays, the innermost last; in document_.rest
  std::string key_;          // the last one
  std::string top_key_;      // of the field of the whole file that is open
  List list_ = List::kNone;  // the long list that is open
  bool in_pair_ = false;     // in a merge that is a list
  std::size_t tokens_in_pair_ = 0;
  std::size_t merges_ = 0;  // complete ones
};

}  // namespace

TokenizerDocument read_tokenizer_document(std::string_view json, const std::string& where) {
  TokenizerDocument document;
  Reader reader(document, where);
  if (Json::sax_parse(json, &reader)) return document;
  parse_json(json, where);  // says what is wrong
  fail(ErrorKind::kValue, "{}: not valid JSON", where);
}

}  // namespace quanthost::text
