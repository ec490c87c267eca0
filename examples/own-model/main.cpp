// own_model: a LibTorch model that quanthost has never heard of, quantized with quanto and trained
// one step. The quantized layers stay as they are; what stands around them learns, through them.
#include <torch/optim/sgd.h>

#include <cstdio>
#include <quanthost/host.hpp>
#include <quanthost/model/layers.hpp>

namespace {

using quanthost::model::Activation;
using quanthost::model::Layer;
using quanthost::model::LayerNorm;
using quanthost::model::Linear;
using quanthost::model::Slot;

// Layers that may be replaced are held as Slot<Layer>: the quantized one takes the same place.
class Classifier : public quanthost::model::Module {
 public:
  Classifier() : Module("Classifier") {
    const at::TensorOptions memory(at::kFloat);  // layers are built without memory otherwise
    adapter_ = add<Layer>("adapter", std::make_shared<Linear>(64, 64, true, memory));
    up_ = add<Layer>("up", std::make_shared<Linear>(64, 256, true, memory));
    activation_ = add<Layer>("activation", std::make_shared<Activation>("gelu"));
    down_ = add<Layer>("down", std::make_shared<Linear>(256, 64, true, memory));
    norm_ = add<Layer>("norm", std::make_shared<LayerNorm>(64, 1e-5, true, true, memory));
    head_ = add<Layer>("head", std::make_shared<Linear>(64, 2, true, memory));
    const at::NoGradGuard filling;
    for (at::Tensor& parameter : parameters()) parameter.normal_(0, 0.1);
  }

  at::Tensor forward(const at::Tensor& input) {
    const at::Tensor x = input + (*adapter_)(input);
    return (*head_)((*norm_)(x + (*down_)((*activation_)((*up_)(x)))));
  }

 private:
  Slot<Layer> adapter_, up_, activation_, down_, norm_, head_;
};

double train_one_step(Classifier& model, const at::Tensor& input, const at::Tensor& labels) {
  std::vector<at::Tensor> trained;
  for (auto& item : model.named_parameters()) {
    if (!item.value().is_floating_point()) continue;
    item.value().requires_grad_(true);
    trained.push_back(item.value());
  }
  torch::optim::SGD optimizer(trained, torch::optim::SGDOptions(0.05));
  const auto loss = [&] { return at::cross_entropy_loss(model.forward(input), labels); };
  const at::Tensor before = loss();
  before.backward();
  // The adapter stands before the quantized layers: its gradient has come through them.
  const at::Tensor gradient = model.named_parameters()["adapter.weight"].grad();
  std::printf("gradient of the adapter: %.4f\n", gradient.norm().item<double>());
  optimizer.step();
  const at::NoGradGuard looking;
  const double after = loss().item<double>();
  std::printf("loss: %.4f before the step, %.4f after it\n", before.item<double>(), after);
  return before.item<double>() - after;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    at::manual_seed(7);
    const auto model = std::make_shared<Classifier>();
    const at::Tensor input = at::randn({32, 64});
    const at::Tensor labels = (input.sum(1) > 0).to(at::kLong);
    const at::Tensor dense = model->forward(input).detach();

    quanthost::Host host;
    quanthost::OwnModelOptions options;
    options.method = "quanto";
    options.settings = {{"weights", "int8"}, {"modules_to_not_convert", "[adapter, head]"}};
    quanthost::QuantizedModule quantized = host.quantize(model, options);
    for (const std::string& name : quantized.quantized_layers())
      std::printf("quantized: %s\n", name.c_str());
    const at::Tensor moved = (model->forward(input).detach() - dense).abs().max();
    std::printf("outputs moved by at most %.4f\n", moved.item<double>());

    const bool learned = train_one_step(*model, input, labels) > 0;
    if (argc > 1) quantized.save(argv[1]);
    return learned ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
