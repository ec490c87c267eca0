// What becomes of the delimiters when a text is cut: five rules over a stream of matches and gaps.
#pragma once

#include <cstddef>
#include <string>

#include "host/text/json_fields.hpp"
#include "host/text/pre_tokenizer.hpp"

namespace quanthost::text {

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

inline SplitBehavior read_split_behavior(const Fields& fields, const char* name) {
  const std::string text = fields.string(name);
  if (text == "Removed") return SplitBehavior::kRemoved;
  if (text == "Isolated") return SplitBehavior::kIsolated;
  if (text == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (text == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (text == "Contiguous") return SplitBehavior::kContiguous;
  fail(ErrorKind::kValue,
       "{}: {:?} is none of Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous",
       fields.where(name), text);
}

// Takes the parts of one piece in order and hands the resulting pieces to the sink.
class PieceCutter {
 public:
  PieceCutter(const Piece& piece, SplitBehavior behavior, const PieceSink& sink)
      : piece_(piece), behavior_(behavior), sink_(sink) {}

  void part(std::size_t begin, std::size_t end, bool is_match) {
    switch (behavior_) {
      case SplitBehavior::kIsolated:
        return emit(begin, end);
      case SplitBehavior::kRemoved:
        return is_match ? void() : emit(begin, end);
      case SplitBehavior::kContiguous:
        return hold(begin, end, is_match, is_match == held_match_);
      case SplitBehavior::kMergedWithPrevious:
        return hold(begin, end, is_match, is_match && !held_match_);
      case SplitBehavior::kMergedWithNext:
        return hold(begin, end, is_match, !is_match && held_match_);
    }
  }

  // Call it behind the last part.
  void finish() {
    if (holds_) emit(held_begin_, held_end_);
    holds_ = false;
  }

 private:
  // Keeps the part back, joined to the one kept before or in its place.
  void hold(std::size_t begin, std::size_t end, bool is_match, bool join) {
    if (holds_ && !join) emit(held_begin_, held_end_);
    if (!holds_ || !join) held_begin_ = begin;
    held_end_ = end;
    held_match_ = is_match;
    holds_ = true;
  }

  void emit(std::size_t begin, std::size_t end) const {
    if (begin < end) sink_({piece_.text.substr(begin, end - begin), piece_.at_start && begin == 0});
  }

  const Piece& piece_;
  SplitBehavior behavior_;
  const PieceSink& sink_;
  bool holds_ = false;
  bool held_match_ = false;
  std::size_t held_begin_ = 0;
  std::size_t held_end_ = 0;
};

}  // namespace quanthost::text
