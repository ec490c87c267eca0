// Calibration data as the model is run on it: rows of token ids, put together into batches as
// optimum's prepare_dataset does.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "host/text/tokenizer.hpp"

namespace quanthost {

// One row of a batch. Rows shorter than the longest of their batch begin with padding.
struct CalibrationRow {
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> mask;  // 1: a token, 0: padding

  bool padded() const;
};

using CalibrationBatch = std::vector<CalibrationRow>;  // all of one length

// optimum's cap on the length that a model itself says.
inline constexpr std::uint64_t kLongestSample = 4028;

struct CalibrationDataRequest {
  // A path (as it is, or as a JSON string), or a JSON list of strings or of {"input_ids": […]}.
  std::string dataset;
  std::uint64_t sample_count = 0;     // 0: all of the data
  std::uint64_t sequence_length = 0;  // of the samples that a file is cut into
  std::uint64_t batch_size = 1;
  std::int64_t pad_token_id = -1;  // -1: none
  std::int64_t vocabulary = 0;     // ids at or above this are refused
};

// `tokenizer` is asked for only when there is text to encode. A list's samples keep the lengths
// they have; a file is cut into samples of one length. Throws kValue or kOs and names the sample or
// the line.
std::vector<CalibrationBatch> read_calibration_batches(
    const CalibrationDataRequest& request, const std::function<text::Tokenizer()>& tokenizer);

}  // namespace quanthost
