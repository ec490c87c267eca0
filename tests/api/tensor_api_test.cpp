// The part of the C++ API that shows LibTorch's tensors: forward, and models of the application's
// own.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <quanthost/host.hpp>
#include <quanthost/model/layers.hpp>
#include <thread>

#include "tests/api/tiny_host.hpp"
#include "tests/error_of.hpp"

namespace {

namespace fs = std::filesystem;
using namespace quanthost;
using quanthost::model::Layer;
using quanthost::model::Linear;
using quanthost::model::Slot;

const fs::path kModel = quanthost::test::tiny_model();

Host& host() {
  static Host host(quanthost::test::host_options());
  return host;
}

LoadOptions absmax8() {
  LoadOptions options;
  options.method = "absmax8";
  return options;
}

at::Tensor ids() { return at::arange(1, 6, at::kLong).unsqueeze(0); }

TEST(Forward, GivesTheSameForATensorAndForNamedOnes) {
  Model model = host().load(kModel, absmax8());
  const at::Tensor input = ids(), mask = at::ones_like(input);
  const at::Tensor logits = model.forward(input);
  EXPECT_EQ(logits.sizes(), (at::IntArrayRef{1, 5, 64}));
  EXPECT_TRUE(at::equal(logits, model.forward({{"input_ids", input}, {"attention_mask", mask}})));
  EXPECT_FALSE(logits.clone().requires_grad());
}

TEST(Forward, RefusesWhatTheModelCannotTake) {
  Model model = host().load(kModel);
  const at::Tensor floats = ids().to(at::kFloat), flat = ids()[0], far = ids() + 60;
  EXPECT_EQ(error_of([&] { model.forward(floats); }).kind(), ErrorKind::kType);
  EXPECT_EQ(error_of([&] { model.forward(flat); }).kind(), ErrorKind::kValue);
  EXPECT_EQ(error_of([&] { model.forward(far); }).kind(), ErrorKind::kValue);
  EXPECT_EQ(error_of([&] { model.forward({{"labels", floats}}); }).kind(), ErrorKind::kKey);
}

TEST(Forward, OfTwoModelsRunsOnTwoThreads) {
  Model a = host().load(kModel, absmax8()), b = host().load(kModel);
  const at::Tensor of_a = a.forward(ids()), of_b = b.forward(ids());
  const auto repeat = [](Model& model, const at::Tensor& expected) {
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(at::equal(model.forward(ids()), expected));
  };
  std::thread other([&] { repeat(a, of_a); });
  repeat(b, of_b);
  other.join();
}

class Pair : public quanthost::model::Module {
 public:
  Pair() : Module("Pair") {
    const at::TensorOptions memory(at::kFloat);
    first_ = add<Layer>("first", std::make_shared<Linear>(32, 48, true, memory));
    head_ = add<Layer>("head", std::make_shared<Linear>(48, 4, true, memory));
    const at::NoGradGuard filling;
    at::manual_seed(3);
    for (at::Tensor& parameter : parameters()) parameter.normal_(0, 0.1);
  }
  at::Tensor forward(const at::Tensor& x) { return (*head_)((*first_)(x).relu()); }

 private:
  Slot<Layer> first_, head_;
};

OwnModelOptions own() {
  OwnModelOptions options;
  options.method = "absmax8";
  options.output_embedding = "head";
  return options;
}

TEST(OwnModel, IsQuantizedInPlaceAndLivesWithoutItsHandle) {
  const auto model = std::make_shared<Pair>();
  const at::Tensor x = at::randn({3, 32}), dense = model->forward(x).detach();
  {
    const QuantizedModule quantized = host().quantize(model, own());
    EXPECT_EQ(quantized.quantized_layers(), std::vector<std::string>{"first"});
    EXPECT_EQ(quantized.info().method, "absmax8");
    EXPECT_EQ(quantized.info().architecture, "Pair");
  }
  const at::Tensor got = model->forward(x).detach();
  EXPECT_FALSE(at::equal(got, dense)) << "nothing was quantized";
  EXPECT_TRUE(at::allclose(got, dense, /*rtol=*/0, /*atol=*/0.02));
}

TEST(OwnModel, IsDequantizedAndSaved) {
  const fs::path out = fs::temp_directory_path() / ("quanthost-own-" + std::to_string(::getpid()));
  const auto model = std::make_shared<Pair>();
  const at::Tensor x = at::randn({3, 32});
  QuantizedModule quantized = host().quantize(model, own());
  const at::Tensor before = model->forward(x).detach();
  quantized.save(out);
  EXPECT_TRUE(fs::exists(out / "model.safetensors"));
  fs::remove_all(out);
  quantized.dequantize();
  EXPECT_TRUE(quantized.quantized_layers().empty());
  EXPECT_TRUE(at::allclose(model->forward(x).detach(), before, /*rtol=*/0, /*atol=*/1e-5));
}

TEST(OwnModel, StaysAsItWasWhenItCannotBeQuantized) {
  const auto model = std::make_shared<Pair>();
  const at::Tensor x = at::randn({3, 32}), dense = model->forward(x).detach();
  OwnModelOptions wrong = own();
  wrong.settings = {{"no_such_option", "1"}};
  EXPECT_EQ(error_of([&] { host().quantize(model, wrong); }).kind(), ErrorKind::kValue);
  wrong = own();
  wrong.method.clear();
  const Error without = error_of([&] { host().quantize(model, wrong); });
  EXPECT_EQ(without.kind(), ErrorKind::kValue);
  EXPECT_NE(without.hint(), "");
  wrong = own();
  wrong.cancel.cancel();
  EXPECT_EQ(error_of([&] { host().quantize(model, wrong); }).kind(), ErrorKind::kCancelled);
  EXPECT_TRUE(at::equal(model->forward(x).detach(), dense));
}

}  // namespace
