#include "host/base/error.hpp"

#include <gtest/gtest.h>

#include "host/base/log.hpp"

namespace quanthost {
namespace {

TEST(Error, KeepsTheFirstCauseAtTheEndWhenContextIsAdded) {
  const Error cause(ErrorKind::kValue, "block size 48 is not supported", "use 64");
  const Error outer = cause.within("tensor lm_head.weight").within("model.safetensors");
  EXPECT_EQ(outer.message(),
            "model.safetensors: tensor lm_head.weight: block size 48 is not supported");
  EXPECT_EQ(outer.hint(), "use 64");
  EXPECT_EQ(outer.kind(), ErrorKind::kValue);
}

TEST(Error, NamesKindsAsPythonDoes) {
  EXPECT_EQ(name_of(ErrorKind::kImport), "ImportError");
  EXPECT_EQ(name_of(ErrorKind::kNotImplemented), "NotImplementedError");
}

TEST(Log, HandsMessagesToAReplacedSinkWithTheirSource) {
  std::string seen;
  log::set_sink([&](log::Level, std::string_view source, std::string_view message) {
    seen = std::string(source) + "|" + std::string(message);
  });
  log::warn("load", "{} tensors left", 3);
  log::set_sink({});
  EXPECT_EQ(seen, "load|3 tensors left");
}

}  // namespace
}  // namespace quanthost
