// What transformers computed with tiny models of every family (goldens/make_goldens.py), computed
// here.
#include "golden.hpp"

#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "host/model/module_tree.hpp"

namespace quanthost::model {
namespace {

class GoldenModel : public testing::TestWithParam<std::string> {
 protected:
  c10::InferenceMode guard_;
};

TEST_P(GoldenModel, GivesTheLogitsOfTransformersInFloat32) {
  auto model = load_golden(GetParam());
  EXPECT_LT(relative_difference(model->forward(golden_inputs(GetParam())),
                                golden_tensor(GetParam(), "output")),
            1e-4);
}

TEST_P(GoldenModel, StaysWithinTwoPercentInBfloat16) {
  auto model = load_golden(GetParam(), at::kBFloat16);
  ModelInputs inputs = golden_inputs(GetParam());
  const at::Tensor output = model->forward(inputs);
  EXPECT_EQ(output.scalar_type(), at::kBFloat16);
  // Where rounding decides between experts, another CPU's last bit may decide otherwise: then what
  // bfloat16 costs transformers itself is the measure.
  const at::Tensor expected = golden_tensor(GetParam(), "output_bfloat16");
  const double spread = relative_difference(expected, golden_tensor(GetParam(), "output"));
  EXPECT_LT(relative_difference(output, expected), GetParam() == "mixtral" ? spread : 2e-2);
}

TEST_P(GoldenModel, PrefillAndCachedStepsGiveTheFullForward) {
  if (!golden_has(GetParam(), "generated")) GTEST_SKIP() << "no decoder";
  auto model = load_golden(GetParam());
  const at::Tensor ids = golden_tensor(GetParam(), "input_ids");
  const std::int64_t tokens = ids.size(1);
  const at::Tensor full = model->forward({.input_ids = ids});
  KvCache cache(model->config(), ids.size(0), tokens, at::TensorOptions(at::kFloat));
  std::vector<at::Tensor> parts;
  for (const auto& [begin, end] :
       {std::pair<std::int64_t, std::int64_t>{0, 6}, {6, 7}, {7, 10}, {10, 11}, {11, 12}}) {
    parts.push_back(model->forward({.input_ids = ids.narrow(1, begin, end - begin)}, &cache));
  }
  // Dynamic rotary scaling depends on the length at the time a key was made, in transformers too.
  if (GetParam() != "llama_dynamic") {
    EXPECT_LT(relative_difference(at::cat(parts, 1), full), 1e-5);
  }
  EXPECT_EQ(cache.length(), tokens);
}

// What a checkpoint in bfloat16 or float16 gives in float32, with its matrices converted and as
// they are.
TEST_P(GoldenModel, GivesTheSameBitsWithMatricesLeftInASmallType) {
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const auto wide = load_golden(GetParam()), small = load_golden(GetParam());
    int left = 0;
    for (const TensorEntry& entry : walk_parameters(wide->root())) {
      if (!may_stay_small(*wide, entry.name, type, at::kFloat)) continue;
      const at::Tensor stored = entry.tensor.to(type);
      set_parameter(wide->root(), entry.name, stored.to(at::kFloat));
      set_parameter(small->root(), entry.name, stored);
      ++left;
    }
    wide->tie_weights();
    small->tie_weights();
    EXPECT_GT(left, 0);
    const ModelInputs inputs = golden_inputs(GetParam());
    EXPECT_TRUE(at::equal(small->forward(inputs), wide->forward(inputs)));
    if (!golden_has(GetParam(), "generated")) continue;
    EXPECT_EQ(small->hidden_options().dtype(), at::kFloat);
    KvCache wide_cache(wide->config(), inputs.input_ids.size(0), 8, wide->hidden_options());
    KvCache small_cache(small->config(), inputs.input_ids.size(0), 8, small->hidden_options());
    for (const auto& [begin, count] :
         {std::pair<std::int64_t, std::int64_t>{0, 5}, {5, 1}, {6, 1}}) {
      const at::Tensor ids = inputs.input_ids.narrow(1, begin, count);
      EXPECT_TRUE(at::equal(small->forward({.input_ids = ids}, &small_cache),
                            wide->forward({.input_ids = ids}, &wide_cache)))
          << "at " << begin;
    }
  }
}

TEST_P(GoldenModel, RunsBlockByBlockAsWhole) {
  auto model = load_golden(GetParam());
  const ModelInputs inputs = golden_inputs(GetParam());
  auto [hidden, shared] = model->prepare(inputs);
  for (std::size_t block = 0; block < model->block_count(); ++block)
    hidden = model->run_block(block, hidden, shared);
  EXPECT_TRUE(at::equal(model->finish(hidden), model->forward(inputs)));
}

std::string readable(const testing::TestParamInfo<std::string>& info) { return info.param; }

INSTANTIATE_TEST_SUITE_P(Families, GoldenModel, testing::ValuesIn(golden_names()), readable);

}  // namespace
}  // namespace quanthost::model
