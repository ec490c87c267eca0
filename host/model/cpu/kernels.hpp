// The CPU kernels of a decode step, one table a instruction set. Plain pointers: no LibTorch in
// here.
#pragma once

#include <cstdint>

namespace quanthost::model::cpu {

enum class Element : std::int32_t { kF32, kBf16, kF16 };

inline constexpr std::int64_t kMaxRows = 8;  // tokens a product takes at once

// out[r, n] = x[r, :] · weight[n, :] + bias[n]
struct Product {
  Element element;         // of x, bias and out
  Element weight_element;  // of weight: the same, or any when the others are float32
  const void* x;           // [rows, in]
  const float* x_float;    // the same in float32
  const void* weight;      // [out_features, in]
  const void* bias;        // null: none
  void* out;               // [rows, out_features]
  std::int64_t rows;       // at most kMaxRows
  std::int64_t in;
  std::int64_t out_features;
};

// out[r, n] = silu(x · gate[n]) * (x · up[n]); both products without bias.
struct GatedProduct {
  Product gate;  // its `out` holds the result
  const void* up;
};

// sum = x + delta, normed = weight * sum / rms(sum), rounded where transformers rounds.
struct Norm {
  Element element;
  const void* x;      // [rows, width]
  const void* delta;  // null: none, and no sum is written
  const void* weight;
  void* sum;
  void* normed;
  std::int64_t width;
  float eps;
  bool one_plus_weight;
  const float* scale;  // [rows], 1 / rms of each row; null: computed here
};

// Rows of heads, [rows, heads, head_dim], turned by the angles of their row.
struct Rotation {
  Element element;
  const void* from;
  void* to;
  const void* cos;  // [angle_rows, rotary_dim]: row r has the angles r % angle_rows
  const void* sin;
  std::int64_t heads, head_dim, rotary_dim, angle_rows;
};

// One new token a row: queries and keys are rotated, keys and values stored, then each head
// attends.
struct AttentionStep {
  Element element;
  void* query;      // [batch, heads, head_dim], rotated in place
  const void* key;  // [batch, kv_heads, head_dim]
  const void* value;
  const void* cos;  // [batch or 1, rotary_dim]; null: nothing to rotate
  const void* sin;
  void* keys;  // [batch, kv_heads, capacity, head_dim]
  void* values;
  void* out;                        // [batch, heads, head_dim]
  const std::int64_t* first_token;  // [batch]
  std::int64_t heads, kv_heads, head_dim, rotary_dim;
  std::int64_t angle_stride;  // elements from one row's cos to the next; 0 when all share them
  std::int64_t capacity;
  std::int64_t past;    // place of the new token
  std::int64_t window;  // 0: all
  float scale;
  float softcap;  // 0: none
};

inline constexpr std::int64_t kAttendHeads = 4;  // heads that are attended together
// Floats of scratch memory that attend() needs.
constexpr std::int64_t attend_scratch(std::int64_t head_dim, std::int64_t past) {
  constexpr std::int64_t kWidest = 16;  // lanes
  return kAttendHeads * (head_dim + past + 1 + 2 * kWidest);
}

struct Kernels {
  const char* name;
  void (*to_float)(Element element, const void* x, float* out, std::int64_t count);
  void (*product)(const Product& product, std::int64_t begin, std::int64_t end);  // output features
  void (*gated_product)(const GatedProduct& product, std::int64_t begin, std::int64_t end);
  void (*norm)(const Norm& norm, std::int64_t begin, std::int64_t end);  // rows
  // Writes the sum, when there is a delta, and float32 squares of what is to be normed.
  void (*squares)(const Norm& norm, float* squares, std::int64_t begin, std::int64_t end);  // rows
  void (*rotate)(const Rotation& rotation, std::int64_t begin, std::int64_t end);           // rows
  void (*store_token)(const AttentionStep& step, std::int64_t begin,
                      std::int64_t end);  // rows of the batch
  // Pairs of row and head: row * heads + head. `scratch`: attend_scratch().
  void (*attend)(const AttentionStep& step, float* scratch, std::int64_t begin, std::int64_t end);
};

extern const Kernels kScalarKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx512Bf16Kernels;

// The best this CPU runs; QUANTHOST_CPU_KERNELS=scalar|avx2|avx512|avx512_bf16 asks for a lesser
// one.
const Kernels& kernels();
// Whether this CPU has products of float16 (AVX512-FP16).
bool has_float16_products();
// Null when this CPU cannot run them. The names above.
const Kernels* kernels_named(const char* name);

}  // namespace quanthost::model::cpu
