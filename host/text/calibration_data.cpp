#include "host/text/calibration_data.hpp"

#include <algorithm>
#include <array>
#include <fstream>

#include "host/text/json_fields.hpp"

namespace quanthost::text {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kTextBytes = 1 << 20;  // of plain text encoded at once
constexpr std::array kDataSetNames = {"wikitext2", "wikitext2-new", "wikitext", "c4",
                                      "c4-new",    "ptb",           "ptb-new",  "pile",
                                      "alpaca",    "ultrachat"};

bool is_json_lines(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".jsonl" || extension == ".ndjson" || extension == ".json";
}

// How much of the text to encode now: up to behind its last line break, or its last character that
// is whole.
std::size_t cut_of(const std::string& text) {
  const std::size_t newline = text.rfind('\n');
  if (newline != std::string::npos) return newline + 1;
  std::size_t cut = text.size();
  while (cut > 0 && text.size() - cut < 4 &&
         (static_cast<unsigned char>(text[cut - 1]) & 0xC0) == 0x80)
    --cut;
  if (cut > 0 && static_cast<unsigned char>(text[cut - 1]) >= 0xC0) --cut;
  return cut;
}

}  // namespace

void require_calibration_file(const std::string& path) {
  if (fs::is_regular_file(path)) return;
  const bool is_name =
      std::find(kDataSetNames.begin(), kDataSetNames.end(), path) != kDataSetNames.end();
  throw Error(ErrorKind::kOs,
              is_name
                  ? fmt::format("calibration data {:?}: data sets are not downloaded by name", path)
                  : fmt::format("calibration data {:?}: there is no such file", path),
              "give a file: plain text (.txt), or .jsonl with one {\"text\": \"…\"} or "
              "{\"input_ids\": […]} a line. "
              "Python's datasets writes one: load_dataset(…).to_json(\"calibration.jsonl\")");
}

// The documents of a file, as ids.
class CalibrationData::Documents {
 public:
  Documents(const std::string& path, Tokenizer tokenizer)
      : path_(path),
        tokenizer_(std::move(tokenizer)),
        json_lines_(is_json_lines(path)),
        file_(path, std::ios::binary) {
    if (!file_) fail(ErrorKind::kOs, "{}: cannot be read", path);
  }

  // Appends the ids of the next document, or of the next part of the text; false at the end.
  bool append_next(std::vector<TokenId>& ids) {
    return json_lines_ ? append_line(ids) : append_text(ids);
  }

 private:
  bool append_text(std::vector<TokenId>& ids) {
    const std::size_t before = text_.size();
    text_.resize(before + kTextBytes);
    file_.read(text_.data() + before, kTextBytes);
    text_.resize(before + static_cast<std::size_t>(file_.gcount()));
    if (text_.empty()) return false;
    const std::size_t cut = file_.eof() ? text_.size() : cut_of(text_);
    const auto special = first_part_ ? SpecialTokens::kAdd : SpecialTokens::kOmit;
    append(ids, encode(std::string_view(text_).substr(0, cut), special, path_));
    text_.erase(0, cut);
    first_part_ = false;
    return true;
  }

  bool append_line(std::vector<TokenId>& ids) {
    std::string line;
    do {
      if (!std::getline(file_, line)) return false;
      ++line_number_;
    } while (line.find_first_not_of(" \t\r") == std::string::npos);
    const std::string where = fmt::format("{}:{}", path_, line_number_);
    const Json document = parse_json(line, where);
    if (document.is_string() || document.is_array()) {
      append_document(ids, document, where);
    } else {
      const Fields fields(document, where);
      append_document(ids, fields.has("input_ids") ? fields.array("input_ids") : text_of(fields),
                      where);
    }
    return true;
  }

  static const Json& text_of(const Fields& fields) {
    const Json* text = fields.find("text");
    if (!text || !text->is_string()) {
      throw Error(ErrorKind::kValue,
                  fmt::format("{}: has neither a string \"text\" nor an array \"input_ids\"",
                              fields.where()),
                  "one document a line: {\"text\": \"…\"} or {\"input_ids\": [1, 2, …]}");
    }
    return *text;
  }

  void append_document(std::vector<TokenId>& ids, const Json& document, const std::string& where) {
    if (document.is_string()) {
      return append(ids,
                    encode(document.get_ref<const std::string&>(), SpecialTokens::kAdd, where));
    }
    for (const Json& id : document) {
      if (!id.is_number_integer() || id < 0 || id > INT32_MAX ||
          !tokenizer_.token_of(id.get<TokenId>())) {
        fail(ErrorKind::kValue, "{}: {} is not a token id of this tokenizer", where,
             id.dump(-1, ' ', false, Json::error_handler_t::replace));
      }
      ids.push_back(id.get<TokenId>());
    }
  }

  std::vector<TokenId> encode(std::string_view text, SpecialTokens special,
                              const std::string& where) const {
    try {
      return tokenizer_.encode(text, special);
    } catch (const Error& error) {
      throw error.within(where);
    }
  }

  static void append(std::vector<TokenId>& ids, const std::vector<TokenId>& more) {
    ids.insert(ids.end(), more.begin(), more.end());
  }

  std::string path_;
  Tokenizer tokenizer_;
  bool json_lines_;
  std::ifstream file_;
  std::string text_;  // read and not encoded
  bool first_part_ = true;
  std::size_t line_number_ = 0;
};

CalibrationData::CalibrationData(const std::string& file_or_name, Tokenizer tokenizer,
                                 std::size_t tokens_per_sample)
    : where_(file_or_name), tokens_per_sample_(tokens_per_sample) {
  if (tokens_per_sample == 0)
    fail(ErrorKind::kValue, "calibration samples need at least one token");
  require_calibration_file(file_or_name);
  documents_ = std::make_unique<Documents>(file_or_name, std::move(tokenizer));
}

CalibrationData::~CalibrationData() = default;
CalibrationData::CalibrationData(CalibrationData&&) noexcept = default;
CalibrationData& CalibrationData::operator=(CalibrationData&&) noexcept = default;

bool CalibrationData::next(std::vector<TokenId>& sample) {
  while (waiting_.size() - given_ < tokens_per_sample_) {
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(given_));
    given_ = 0;
    if (documents_->append_next(waiting_)) continue;
    if (gave_a_sample_) return false;
    throw Error(ErrorKind::kValue,
                fmt::format("{}: holds {} tokens, fewer than one sample of {}", where_,
                            waiting_.size(), tokens_per_sample_),
                "give a longer file or shorter samples");
  }
  const auto begin = waiting_.begin() + static_cast<std::ptrdiff_t>(given_);
  sample.assign(begin, begin + static_cast<std::ptrdiff_t>(tokens_per_sample_));
  given_ += tokens_per_sample_;
  return gave_a_sample_ = true;
}

std::vector<std::vector<TokenId>> CalibrationData::take(std::size_t count) {
  std::vector<std::vector<TokenId>> samples;
  std::vector<TokenId> sample;
  while (samples.size() < count && next(sample)) samples.push_back(sample);
  return samples;
}

}  // namespace quanthost::text
