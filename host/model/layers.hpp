// The layer types that models are made of and that quantizers replace.
#pragma once

#include "host/model/module.hpp"

// Applications derive from these and find them in libquanthost.so.
#pragma GCC visibility push(default)
namespace quanthost::model {

namespace cpu {
struct NormSpec;
}

// A module that maps one tensor to one tensor. A quantized layer derives from it and takes the
// place of a Linear.
class Layer : public Module {
 public:
  using Module::Module;
  at::Tensor operator()(const at::Tensor& input) {
    return hooked_call(input, [this](const at::Tensor& x) { return forward(x); });
  }
  virtual at::Tensor forward(const at::Tensor& input) = 0;
};

// Layers are built without memory (device "meta") unless the options say otherwise.
at::TensorOptions without_memory(at::ScalarType dtype);

// weight [out, in], bias [out]. A weight of a smaller type than the input's is widened as it is
// read.
class Linear : public Layer {
 public:
  Linear(std::int64_t in_features, std::int64_t out_features, bool bias,
         const at::TensorOptions& options);
  at::Tensor forward(const at::Tensor& input) override;
  const at::Tensor& weight() const { return parameter(0); }
  const at::Tensor& bias() const { return parameter(1); }  // undefined when there is none
  std::int64_t in_features() const { return weight().size(1); }
  std::int64_t out_features() const { return weight().size(0); }
};

class Conv1D : public Layer {  // GPT-2's linear layer: weight [in, out], bias [out]
 public:
  Conv1D(std::int64_t in_features, std::int64_t out_features, const at::TensorOptions& options);
  at::Tensor forward(const at::Tensor& input) override;
  const at::Tensor& weight() const { return parameter(0); }
  const at::Tensor& bias() const { return parameter(1); }
  std::int64_t in_features() const { return weight().size(0); }
  std::int64_t out_features() const { return weight().size(1); }
};

class Embedding : public Layer {  // weight [rows, width]; the input holds int64 row numbers
 public:
  Embedding(std::int64_t rows, std::int64_t width, const at::TensorOptions& options,
            std::string class_name = "Embedding");
  at::Tensor forward(const at::Tensor& ids) override;
  const at::Tensor& weight() const { return parameter(0); }
  at::ScalarType output_dtype() const;

 private:
  at::ScalarType dtype_;  // as built: a float32 layer widens rows of a smaller type
};

class LayerNorm : public Layer {
 public:
  LayerNorm(std::int64_t width, double eps, bool affine, bool bias,
            const at::TensorOptions& options);
  at::Tensor forward(const at::Tensor& input) override;
  const at::Tensor& weight() const { return parameter(0); }  // undefined when not affine
  const at::Tensor& bias() const { return parameter(1); }
  double eps() const { return eps_; }

 private:
  std::int64_t width_;
  double eps_;
};

class RMSNorm : public Layer {
 public:
  enum class Scale {
    kWeight,
    kOnePlusWeight
  };  // Gemma stores the weight minus one and scales before rounding
  RMSNorm(std::int64_t width, double eps, Scale scale, std::string class_name,
          const at::TensorOptions& options);
  at::Tensor forward(const at::Tensor& input) override;
  const at::Tensor& weight() const { return parameter(0); }
  double eps() const { return eps_; }
  cpu::NormSpec spec() const;  // for the fused kernels

 private:
  double eps_;
  Scale scale_;
};

class Conv2d : public Layer {  // square kernel, no padding; weight [out, in, kernel, kernel]
 public:
  Conv2d(std::int64_t in_channels, std::int64_t out_channels, std::int64_t kernel,
         std::int64_t stride, bool bias, const at::TensorOptions& options);
  at::Tensor forward(const at::Tensor& input) override;
  const at::Tensor& weight() const { return parameter(0); }
  const at::Tensor& bias() const { return parameter(1); }
  std::int64_t stride() const { return stride_; }

 private:
  std::int64_t stride_;
};

class Activation : public Layer {
 public:
  // `name` as in config.json: silu, gelu, gelu_new, gelu_pytorch_tanh, relu, … Throws
  // kNotImplemented for others.
  explicit Activation(const std::string& name);
  at::Tensor forward(const at::Tensor& input) override { return function_(input); }
  bool is_silu() const;

 private:
  using Function = at::Tensor (*)(const at::Tensor&);
  struct Row;
  static const Row& row(const std::string& name);
  explicit Activation(const Row& row);
  Function function_;
};

// Present because transformers has it at this place of the tree; it changes nothing when a model is
// not trained.
class Dropout : public Layer {
 public:
  Dropout() : Layer("Dropout") {}
  at::Tensor forward(const at::Tensor& input) override { return input; }
};

}  // namespace quanthost::model
#pragma GCC visibility pop
