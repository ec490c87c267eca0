// Ends a text where one of some strings comes, and holds back what may become one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quanthost::text {

// One thread at a time; one object a text.
class StopStrings {
 public:
  // Throws kValue when one is empty.
  explicit StopStrings(std::vector<std::string> stops);

  // Adds to the text and gives the part that may be shown now. A stop string itself, and what
  // follows it, is never given out.
  std::string push(std::string_view piece);
  // The text has ended: gives what was held back.
  std::string finish();
  bool reached() const { return reached_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;  // may begin a stop string
  bool reached_ = false;
};

}  // namespace quanthost::text
