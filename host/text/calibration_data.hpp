// Calibration data: a file of text or tokens, cut into samples of equal length.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "host/text/tokenizer.hpp"

namespace quanthost::text {

// Throws kOs for what is no file: a data set's name (wikitext2, c4, …) is refused with a hint,
// since nothing is downloaded.
void require_calibration_file(const std::string& file_or_name);

// Reads its file piece by piece; the same file and tokenizer always give the same samples. One
// thread at a time.
//
// - `*.jsonl`, `*.ndjson`, `*.json`: one document a line: {"text": "…"}, {"input_ids": […]}, "…" or
// […].
// - anything else: plain text, one document.
// Documents are encoded with their special tokens and put one behind the other; a remainder shorter
// than a sample is dropped.
class CalibrationData {
 public:
  CalibrationData(const std::string& file_or_name, Tokenizer tokenizer,
                  std::size_t tokens_per_sample);
  ~CalibrationData();
  CalibrationData(CalibrationData&&) noexcept;
  CalibrationData& operator=(CalibrationData&&) noexcept;

  // Replaces `sample` by the next tokens_per_sample ids; false at the end of the file. A file too
  // short for one sample is an error.
  bool next(std::vector<TokenId>& sample);

  // Up to `count` samples from here on.
  std::vector<std::vector<TokenId>> take(std::size_t count);

 private:
  class Documents;
  std::unique_ptr<Documents> documents_;
  std::string where_;
  std::size_t tokens_per_sample_;
  std::vector<TokenId> waiting_;  // ids read and not given out
  std::size_t given_ = 0;         // of waiting_
  bool gave_a_sample_ = false;
};

}  // namespace quanthost::text
