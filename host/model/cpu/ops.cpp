#include "host/model/cpu/ops.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "host/model/cpu/kernels.hpp"

namespace quanthost::model::cpu {
namespace {

Element element_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kBFloat16:
      return Element::kBf16;
    case at::kHalf:
      return Element::kF16;
    default:
      return Element::kF32;
  }
}

at::Tensor like(const at::Tensor& input, std::int64_t last) {
  std::vector<std::int64_t> shape = input.sizes().vec();
  shape.back() = last;
  return at::empty(shape, input.options());
}

// Enough work that waking a thread pays: a few ten thousand products.
std::int64_t grain(std::int64_t work_each) {
  return std::max<std::int64_t>(1, 40000 / std::max<std::int64_t>(1, work_each));
}

// float32 inputs of a product; keeps what it converts.
class FloatInput {
 public:
  explicit FloatInput(const at::Tensor& input) {
    if (input.scalar_type() == at::kFloat) {
      values_ = input.const_data_ptr<float>();
      return;
    }
    converted_.resize(static_cast<std::size_t>(input.numel()));
    kernels().to_float(element_of(input), input.const_data_ptr(), converted_.data(), input.numel());
    values_ = converted_.data();
  }
  const float* values() const { return values_; }

 private:
  std::vector<float> converted_;
  const float* values_;
};

Product product_of(const at::Tensor& input, const FloatInput& floats, const Weights& weights,
                   at::Tensor& out) {
  const std::int64_t in = input.size(-1);
  return {.element = element_of(input),
          .weight_element = element_of(weights.weight),
          .x = input.const_data_ptr(),
          .x_float = floats.values(),
          .weight = weights.weight.const_data_ptr(),
          .bias = weights.bias.defined() ? weights.bias.const_data_ptr() : nullptr,
          .out = out.mutable_data_ptr(),
          .rows = input.numel() / in,
          .in = in,
          .out_features = weights.weight.size(0)};
}

// 1 / rms of each row as LibTorch reduces it, so that prompts get the very bits that transformers
// computes: the last bit here decides how a value is rounded, to a small type or to the codes of a
// quantized activation, and the rounding shows.
at::Tensor libtorch_scales(Norm& norm, std::int64_t rows) {
  at::Tensor squares = at::empty({rows, norm.width}, at::kFloat);
  float* out = squares.mutable_data_ptr<float>();
  at::parallel_for(0, rows, grain(norm.width), [&](std::int64_t begin, std::int64_t end) {
    kernels().squares(norm, out, begin, end);
  });
  if (norm.delta) norm.x = std::exchange(norm.sum, nullptr);  // the sum is there now
  norm.delta = nullptr;
  return squares.mean(-1).add_(norm.eps).rsqrt_();
}

void run_norm(Norm norm, std::int64_t rows) {
  at::Tensor scales;
  if (rows > kMaxRows) {
    scales = libtorch_scales(norm, rows);
    norm.scale = scales.const_data_ptr<float>();
  }
  at::parallel_for(0, rows, grain(2 * norm.width),
                   [&](std::int64_t begin, std::int64_t end) { kernels().norm(norm, begin, end); });
}

Norm norm_of(const at::Tensor& input, const NormSpec& spec, at::Tensor& normed) {
  return {.element = element_of(input),
          .x = input.const_data_ptr(),
          .delta = nullptr,
          .weight = spec.weight.const_data_ptr(),
          .sum = nullptr,
          .normed = normed.mutable_data_ptr(),
          .width = input.size(-1),
          .eps = static_cast<float>(spec.eps),
          .one_plus_weight = spec.one_plus_weight,
          .scale = nullptr};
}

}  // namespace

bool fits(const at::Tensor& tensor) {
  const at::ScalarType type = tensor.scalar_type();
  return tensor.is_cpu() && (type == at::kFloat || type == at::kBFloat16 || type == at::kHalf) &&
         tensor.is_contiguous() && !c10::GradMode::is_enabled();
}

bool widens(at::ScalarType stored, at::ScalarType compute) {
  return compute == at::kFloat && (stored == at::kBFloat16 || stored == at::kHalf);
}

at::Tensor widened(const at::Tensor& weight) {
  constexpr std::int64_t kKept = std::int64_t{8} << 20;  // values; larger ones are of heads
  if (weight.numel() > kKept || !fits(weight)) return weight.to(at::kFloat);
  thread_local at::DataPtr memory;
  thread_local std::int64_t room = 0;
  if (room < weight.numel()) {
    room = 0;
    memory = at::DataPtr();
    memory = c10::GetCPUAllocator()->allocate(static_cast<std::size_t>(weight.numel()) * 4);
    room = weight.numel();
  }
  float* const to = static_cast<float*>(memory.get());
  const auto* const from = static_cast<const std::byte*>(weight.const_data_ptr());
  at::parallel_for(0, weight.numel(), grain(1), [&](std::int64_t begin, std::int64_t end) {
    kernels().to_float(element_of(weight), from + 2 * begin, to + begin, end - begin);
  });
  return at::from_blob(to, weight.sizes(), weight.options().dtype(at::kFloat));
}

bool better_in_float32(const at::Tensor& tensor) {
  static const bool multiplies_float16 = has_float16_products();
  return !multiplies_float16 && tensor.is_cpu() && tensor.scalar_type() == at::kHalf &&
         !c10::GradMode::is_enabled();
}

bool few_rows(const at::Tensor& input, const at::Tensor& weight) {
  return fits(input) && input.dim() > 0 && input.numel() > 0 &&
         input.numel() <= kMaxRows * input.size(-1) &&
         (weight.scalar_type() == input.scalar_type() ||
          widens(weight.scalar_type(), input.scalar_type())) &&
         weight.is_cpu() && weight.is_contiguous() && weight.size(-1) == input.size(-1);
}

std::vector<at::Tensor> linear(const at::Tensor& input, const std::vector<Weights>& weights) {
  const FloatInput floats(input);
  std::vector<at::Tensor> outputs;
  std::vector<Product> products;
  std::int64_t total = 0;
  for (const Weights& each : weights) {
    outputs.push_back(like(input, each.weight.size(0)));
    products.push_back(product_of(input, floats, each, outputs.back()));
    total += products.back().out_features;
  }
  // The features of all products in a row, so one parallel region serves them all.
  at::parallel_for(0, total, grain(input.size(-1)), [&](std::int64_t begin, std::int64_t end) {
    std::int64_t first = 0;
    for (const Product& product : products) {
      const std::int64_t from = std::max(begin, first) - first;
      const std::int64_t to = std::min(end, first + product.out_features) - first;
      if (from < to) kernels().product(product, from, to);
      first += product.out_features;
    }
  });
  return outputs;
}

at::Tensor gated_linear(const at::Tensor& input, const at::Tensor& gate, const at::Tensor& up) {
  const FloatInput floats(input);
  at::Tensor out = like(input, gate.size(0));
  const GatedProduct product{product_of(input, floats, {gate, {}}, out), up.const_data_ptr()};
  at::parallel_for(
      0, gate.size(0), grain(2 * input.size(-1)),
      [&](std::int64_t begin, std::int64_t end) { kernels().gated_product(product, begin, end); });
  return out;
}

at::Tensor rms_norm(const at::Tensor& input, const NormSpec& spec) {
  at::Tensor normed = like(input, input.size(-1));
  run_norm(norm_of(input, spec, normed), input.numel() / input.size(-1));
  return normed;
}

std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& input, const at::Tensor& delta,
                                               const NormSpec& spec) {
  at::Tensor sum = like(input, input.size(-1));
  at::Tensor normed = like(input, input.size(-1));
  Norm norm = norm_of(input, spec, normed);
  norm.delta = delta.const_data_ptr();
  norm.sum = sum.mutable_data_ptr();
  run_norm(norm, input.numel() / input.size(-1));
  return {sum, normed};
}

at::Tensor rotate(const at::Tensor& states, const at::Tensor& cos, const at::Tensor& sin,
                  std::int64_t head_dim) {
  at::Tensor out = like(states, states.size(-1));
  const Rotation rotation{.element = element_of(states),
                          .from = states.const_data_ptr(),
                          .to = out.mutable_data_ptr(),
                          .cos = cos.const_data_ptr(),
                          .sin = sin.const_data_ptr(),
                          .heads = states.size(-1) / head_dim,
                          .head_dim = head_dim,
                          .rotary_dim = cos.size(-1),
                          .angle_rows = cos.numel() / cos.size(-1)};
  const auto work = [&](std::int64_t begin, std::int64_t end) {
    kernels().rotate(rotation, begin, end);
  };
  at::parallel_for(0, states.size(0) * states.size(1), grain(2 * states.size(-1)), work);
  return out;
}

at::Tensor attention_step(at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                          const at::Tensor& cos, const at::Tensor& sin, const AttentionShape& shape,
                          KvCache& cache, std::int64_t layer) {
  at::Tensor out = like(query, shape.heads * shape.head_dim);
  const std::int64_t batch = query.size(0);
  const AttentionStep step{.element = element_of(query),
                           .query = query.mutable_data_ptr(),
                           .key = key.const_data_ptr(),
                           .value = value.const_data_ptr(),
                           .cos = cos.defined() ? cos.const_data_ptr() : nullptr,
                           .sin = sin.defined() ? sin.const_data_ptr() : nullptr,
                           .keys = cache.keys(layer).mutable_data_ptr(),
                           .values = cache.values(layer).mutable_data_ptr(),
                           .out = out.mutable_data_ptr(),
                           .first_token = cache.first_token().data(),
                           .heads = shape.heads,
                           .kv_heads = shape.kv_heads,
                           .head_dim = shape.head_dim,
                           .rotary_dim = cos.defined() ? cos.size(-1) : 0,
                           .angle_stride = cos.defined() && cos.size(0) > 1 ? cos.size(-1) : 0,
                           .capacity = cache.capacity(),
                           .past = cache.length(),
                           .window = shape.window,
                           .scale = static_cast<float>(shape.scale),
                           .softcap = static_cast<float>(shape.softcap)};
  kernels().store_token(step, 0, batch);
  const std::int64_t work = 2 * (step.past + 1) * shape.head_dim;
  at::parallel_for(0, batch * shape.heads, grain(work), [&](std::int64_t begin, std::int64_t end) {
    thread_local std::vector<float>
        scratch;  // grows with the context and is kept for the next step
    scratch.resize(static_cast<std::size_t>(attend_scratch(step.head_dim, step.past)));
    kernels().attend(step, scratch.data(), begin, end);
  });
  return out;
}

}  // namespace quanthost::model::cpu
