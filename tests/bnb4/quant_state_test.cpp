// The JSON beside a packed weight: Python's bytes, and what is refused.
#include "plugins/bnb4/quantizer/quant_state.hpp"

#include <gtest/gtest.h>

#include <string>

namespace quanthost::bnb4 {
namespace {

TEST(QuantState, WritesTheBytesOfPythonsJson) {
  QuantState state;
  state.dtype = qh::kBfloat16;
  state.rows = state.columns = 64;
  EXPECT_EQ(to_json(state),
            R"({"quant_type": "fp4", "blocksize": 64, "dtype": "bfloat16", "shape": [64, 64]})");
  state.quant_type = QuantType::kNf4;
  state.nested_offset = 0.050067901611328125;
  EXPECT_EQ(
      to_json(state),
      R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [64, 64], "nested_blocksize": 256, )"
      R"("nested_dtype": "float32", "nested_offset": 0.050067901611328125})");
}

TEST(QuantState, PrintsFloatsAsPythonDoes) {
  EXPECT_EQ(python_repr(1.25), "1.25");
  EXPECT_EQ(python_repr(6.0), "6.0");
  EXPECT_EQ(python_repr(0.0), "0.0");
  EXPECT_EQ(python_repr(-0.0), "-0.0");
  EXPECT_EQ(python_repr(5.2e-05), "5.2e-05");
  EXPECT_EQ(python_repr(0.0001), "0.0001");
  EXPECT_EQ(python_repr(1e16), "1e+16");
  EXPECT_EQ(python_repr(1e15), "1000000000000000.0");
  EXPECT_EQ(python_repr(1e-300), "1e-300");
  EXPECT_EQ(python_repr(0.1f), "0.10000000149011612");
}

TEST(QuantState, ReadsWhatItWrote) {
  QuantState state;
  state.quant_type = QuantType::kNf4;
  state.blocksize = 4096;
  state.dtype = qh::kFloat16;
  state.rows = 11008;
  state.columns = 4096;
  state.nested_offset = 5.2e-05;
  const QuantState read = quant_state_from_json(to_json(state), "w");
  EXPECT_EQ(to_json(read), to_json(state));
}

void expect_refused(const std::string& json, const std::string& words) {
  try {
    quant_state_from_json(json, "layer.weight.quant_state.bitsandbytes__nf4");
    FAIL() << json;
  } catch (const qh::Error& error) {
    EXPECT_EQ(error.kind(), QH_ERR_VALUE);
    EXPECT_NE(error.message().find(words), std::string::npos) << error.message();
  }
}

TEST(QuantState, RefusesWhatBitsandbytesWould) {
  const auto with = [](const std::string& entries) {
    return "{\"quant_type\": \"nf4\", " + entries + "}";
  };
  const std::string dtype = "\"dtype\": \"float16\", ";
  expect_refused("", "'{' was expected");
  expect_refused("{\"quant_type\": \"nf4\"", "'}' was expected");
  expect_refused("[1]", "'{' was expected");
  expect_refused("{\"quant_type\": \"int4\", \"blocksize\": 64}", "nf4 or fp4");
  expect_refused(with("\"blocksize\": 48, " + dtype + "\"shape\": [1, 64]"), "power of two");
  expect_refused(with("\"blocksize\": \"64\", " + dtype + "\"shape\": [1, 64]"), "wrong type");
  expect_refused(with("\"blocksize\": 64, \"dtype\": \"int8\", \"shape\": [1, 64]"), "floating");
  expect_refused(with("\"blocksize\": 64, \"dtype\": \"float99\", \"shape\": [1, 64]"), "float99");
  expect_refused(with("\"blocksize\": 64, " + dtype + "\"shape\": [64]"), "two sizes");
  expect_refused(with("\"blocksize\": 64, " + dtype + "\"shape\": [4611686018427387904, 16]"),
                 "integer");
  expect_refused(
      with("\"blocksize\": 64, " + dtype + "\"shape\": [9007199254740992, 9007199254740992]"),
      "two sizes");
  expect_refused(with("\"blocksize\": 64, " + dtype + "\"shape\": [1, 64], \"extra\": 1"),
                 "unknown entry \"extra\"");
  expect_refused(with("\"blocksize\": 64, " + dtype + "\"shape\": [1, 64]} x"), "");
  expect_refused(with("\"blocksize\": 64, " + dtype + "\"shape\": [1, 64], \"nested_offset\": 1.0"),
                 "nested_blocksize");
}

}  // namespace
}  // namespace quanthost::bnb4
