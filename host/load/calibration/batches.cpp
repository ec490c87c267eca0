#include "host/load/calibration/batches.hpp"

#include <algorithm>
#include <filesystem>

#include "host/base/json.hpp"
#include "host/text/calibration_data.hpp"

namespace quanthost {
namespace {

constexpr const char* kForms =
    "give a file (plain text, or .jsonl with one {\"text\": \"…\"} or {\"input_ids\": […]} a "
    "line), a list of strings, or a list of {\"input_ids\": […]}";

// What the user wrote: a path without quotes is no JSON.
Json parse_dataset(const std::string& dataset) {
  const auto first = dataset.find_first_not_of(" \t\r\n");
  if (first == std::string::npos || dataset.compare(first, 4, "null") == 0) {
    throw Error(ErrorKind::kValue, "quantizing needs calibration data, and no dataset is given",
                kForms);
  }
  const char begin = dataset[first];
  if (begin == '[' || begin == '"' || begin == '{') return parse_json(dataset, "dataset");
  return Json(dataset);
}

std::vector<std::int64_t> integers(const Json& list, const std::string& where) {
  std::vector<std::int64_t> values;
  for (const Json& value : list) {
    if (!value.is_number_integer())
      fail(ErrorKind::kType, "{}: {} is not an integer", where, value.dump());
    values.push_back(value.get<std::int64_t>());
  }
  return values;
}

// [1, 2, 3], or with the batch dimension that tokenizers return: [[1, 2, 3], …].
std::vector<std::vector<std::int64_t>> rows_of(const Json& value, const std::string& where) {
  if (!value.is_array() || value.empty())
    fail(ErrorKind::kType, "{}: needs a list of integers that is not empty", where);
  if (!value.front().is_array()) return {integers(value, where)};
  std::vector<std::vector<std::int64_t>> rows;
  for (const Json& row : value) {
    if (!row.is_array()) fail(ErrorKind::kType, "{}: mixes lists and numbers", where);
    rows.push_back(integers(row, where));
  }
  return rows;
}

CalibrationRow row_of(std::vector<std::int64_t> ids) {
  std::vector<std::int64_t> mask(ids.size(), 1);
  return {std::move(ids), std::move(mask)};
}

void append_tokenized(std::vector<CalibrationRow>& rows, const Json& example,
                      const std::string& where) {
  const auto ids = example.find("input_ids");
  if (ids == example.end()) {
    throw Error(ErrorKind::kValue, fmt::format("{}: has no \"input_ids\"", where), kForms);
  }
  auto id_rows = rows_of(*ids, where + ": input_ids");
  const auto mask = example.find("attention_mask");
  std::vector<std::vector<std::int64_t>> masks;
  if (mask != example.end() && !mask->is_null()) masks = rows_of(*mask, where + ": attention_mask");
  for (std::size_t i = 0; i < id_rows.size(); ++i) {
    CalibrationRow row = row_of(std::move(id_rows[i]));
    if (!masks.empty()) {
      if (masks.size() <= i || masks[i].size() != row.ids.size()) {
        fail(ErrorKind::kValue, "{}: attention_mask and input_ids have different shapes", where);
      }
      row.mask = std::move(masks[i]);
    }
    rows.push_back(std::move(row));
  }
}

std::vector<CalibrationRow> rows_from_list(const Json& list, std::uint64_t count,
                                           const std::function<text::Tokenizer()>& tokenizer) {
  std::vector<CalibrationRow> rows;
  std::optional<text::Tokenizer> encoder;
  for (std::size_t i = 0; i < list.size() && (count == 0 || i < count); ++i) {
    const std::string where = fmt::format("dataset: sample {}", i);
    if (list[i].is_object()) {
      append_tokenized(rows, list[i], where);
    } else if (list[i].is_string()) {
      if (!encoder) encoder = tokenizer();
      const auto ids = encoder->encode(list[i].get_ref<const std::string&>());
      rows.push_back(row_of({ids.begin(), ids.end()}));
    } else {
      throw Error(ErrorKind::kType,
                  fmt::format("{}: is {}, neither a string nor an object with input_ids", where,
                              list[i].type_name()),
                  kForms);
    }
    if (rows.back().ids.empty()) fail(ErrorKind::kValue, "{}: holds no tokens", where);
  }
  return rows;
}

std::vector<CalibrationRow> rows_from_file(const std::string& path,
                                           const CalibrationDataRequest& request,
                                           const std::function<text::Tokenizer()>& tokenizer) {
  text::require_calibration_file(path);  // before a tokenizer is read: a name is no file
  text::CalibrationData data(path, tokenizer(), request.sequence_length);
  std::vector<CalibrationRow> rows;
  std::vector<text::TokenId> sample;
  while ((request.sample_count == 0 || rows.size() < request.sample_count) && data.next(sample))
    rows.push_back(row_of({sample.begin(), sample.end()}));
  return rows;
}

void check_ids(const std::vector<CalibrationRow>& rows, std::int64_t vocabulary) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (const std::int64_t id : rows[i].ids) {
      if (id >= 0 && id < vocabulary) continue;
      throw Error(ErrorKind::kValue,
                  fmt::format("dataset: sample {} holds the id {}, the model has {} tokens", i, id,
                              vocabulary),
                  "the data and the tokenizer have to be those of this model");
    }
  }
}

void pad_left(CalibrationRow& row, std::size_t length, std::int64_t pad) {
  const std::size_t missing = length - row.ids.size();
  row.ids.insert(row.ids.begin(), missing, pad);
  row.mask.insert(row.mask.begin(), missing, 0);
}

std::vector<CalibrationBatch> batches_of(std::vector<CalibrationRow> rows,
                                         const CalibrationDataRequest& request) {
  const std::size_t size = std::max<std::uint64_t>(request.batch_size, 1);
  if (size > 1 && request.pad_token_id < 0) {
    throw Error(ErrorKind::kValue,
                fmt::format("batch_size is {}: samples of a batch are padded to one length, and no "
                            "pad_token_id is given",
                            size),
                "set pad_token_id, or batch_size to 1");
  }
  std::vector<CalibrationBatch> batches;
  for (std::size_t begin = 0; begin < rows.size(); begin += size) {
    CalibrationBatch batch;
    std::size_t length = 0;
    for (std::size_t i = begin; i < std::min(begin + size, rows.size()); ++i) {
      length = std::max(length, rows[i].ids.size());
      batch.push_back(std::move(rows[i]));
    }
    for (CalibrationRow& row : batch) pad_left(row, length, request.pad_token_id);
    batches.push_back(std::move(batch));
  }
  return batches;
}

}  // namespace

bool CalibrationRow::padded() const { return std::find(mask.begin(), mask.end(), 0) != mask.end(); }

std::vector<CalibrationBatch> read_calibration_batches(
    const CalibrationDataRequest& request, const std::function<text::Tokenizer()>& tokenizer) {
  const Json dataset = parse_dataset(request.dataset);
  if (!dataset.is_string() && !dataset.is_array()) {
    throw Error(ErrorKind::kType,
                fmt::format("dataset: is {}, neither a path nor a list", dataset.type_name()),
                kForms);
  }
  std::vector<CalibrationRow> rows =
      dataset.is_string() ? rows_from_file(dataset.get<std::string>(), request, tokenizer)
                          : rows_from_list(dataset, request.sample_count, tokenizer);
  if (rows.empty()) throw Error(ErrorKind::kValue, "dataset: holds no samples", kForms);
  check_ids(rows, request.vocabulary);
  if (request.pad_token_id >= request.vocabulary) {
    fail(ErrorKind::kValue, "pad_token_id is {}, the model has {} tokens", request.pad_token_id,
         request.vocabulary);
  }
  return batches_of(std::move(rows), request);
}

}  // namespace quanthost
