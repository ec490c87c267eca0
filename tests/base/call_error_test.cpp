#include "host/base/call_error.hpp"

#include <gtest/gtest.h>

namespace quanthost {
namespace {

TEST(CallError, GivesBackWhatTheCallLeft) {
  const auto status =
      guard_call([] { throw Error(ErrorKind::kKey, "no such layer", "look at the list"); });
  EXPECT_EQ(status, static_cast<int>(ErrorKind::kKey));
  const Error error = take_call_error(status);
  EXPECT_EQ(error.kind(), ErrorKind::kKey);
  EXPECT_EQ(error.message(), "no such layer");
  EXPECT_EQ(error.hint(), "look at the list");
}

TEST(CallError, NamesASilentFailure) {
  clear_call_error();
  EXPECT_NE(std::string(take_call_error(2).what()).find("gave no reason"), std::string::npos);
}

TEST(CallError, IsTakenOnce) {
  leave_call_error(ErrorKind::kValue, "first", "");
  take_call_error(2);
  EXPECT_EQ(take_call_error(2).message().find("first"), std::string::npos);
}

TEST(CallError, TurnsAStatusThatIsNoneIntoAnInternalError) {
  leave_call_error(ErrorKind::kValue, "said so", "");
  const Error error = take_call_error(-77);
  EXPECT_EQ(error.kind(), ErrorKind::kInternal);
  EXPECT_NE(error.message().find("said so"), std::string::npos);
}

}  // namespace
}  // namespace quanthost
