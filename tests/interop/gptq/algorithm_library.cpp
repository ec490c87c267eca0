// The algorithm and the format as C functions, for the Python tests that hold them beside
// gptqmodel. Functions that can fail return null or a text that is good until this thread's next
// call.
#include <algorithm>
#include <cstring>
#include <quanthost/plugin/error.hpp>
#include <string>
#include <thread>
#include <vector>

#include "algorithm/solver.hpp"
#include "format.hpp"

using namespace quanthost::gptq;

namespace {

constexpr std::int64_t kThreads = 2;

void on_threads(std::int64_t count, const RangeBody& body) {
  std::vector<std::thread> others;
  for (std::int64_t t = 1; t < kThreads; ++t)
    others.emplace_back([&, t] { body(count * t / kThreads, count * (t + 1) / kThreads); });
  body(0, count / kThreads);
  for (std::thread& other : others) other.join();
}

template <typename Body>
const char* refusal_of(Body&& body) {
  thread_local std::string text;
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    text = error.what();
    return text.c_str();
  }
}

std::size_t size_of(std::int64_t a, std::int64_t b) { return static_cast<std::size_t>(a * b); }

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED Hessian* hessian_new(std::int64_t columns) { return new Hessian(columns); }
EXPORTED void hessian_delete(Hessian* hessian) { delete hessian; }

EXPORTED const char* hessian_add(Hessian* hessian, const float* inputs, std::int64_t tokens,
                                 std::int64_t samples) {
  return refusal_of([&] {
    hessian->add({inputs, size_of(tokens, hessian->columns())}, tokens, samples, on_threads);
  });
}

struct Options {
  std::int32_t bits, symmetric, desc_act, static_groups, act_group_aware;
  float mse_exponent, damp_percent, damp_increment, gptaq_alpha;
  std::int64_t group_size;
};

static SolverOptions solver_options(const Options& o) {
  SolverOptions options;
  options.grid = {o.bits, o.symmetric != 0, o.mse_exponent};
  options.group_size = o.group_size;
  options.desc_act = o.desc_act != 0;
  options.static_groups = o.static_groups != 0;
  options.act_group_aware = o.act_group_aware != 0;
  options.damp_percent = o.damp_percent;
  options.damp_increment = o.damp_increment;
  if (o.gptaq_alpha >= 0) options.gptaq_alpha = o.gptaq_alpha;  // negative: plain GPTQ
  return options;
}

// [rows, columns], [rows, groups] twice and [columns]; what the damping became.
struct Outputs {
  std::uint8_t* codes;
  float* scales;
  std::uint8_t* zeros;
  std::int32_t* g_idx;
  float damp_percent, diagonal_floor;
  double loss;
};

// drift: [columns, columns] or null.
EXPORTED const char* quantize(const Hessian* hessian, const float* drift, const float* weight,
                              std::int64_t rows, const Options* o, Outputs* out) {
  return refusal_of([&] {
    const SolverOptions options = solver_options(*o);
    const std::int64_t columns = hessian->columns();
    const std::span<const float> drifted(drift, drift ? size_of(columns, columns) : 0);
    const PreparedHessian prepared = prepare(*hessian, options, on_threads, drifted);
    const QuantizedLayer layer = quantize_layer({weight, size_of(rows, hessian->columns())}, rows,
                                                prepared, options, on_threads);
    std::copy(layer.codes.begin(), layer.codes.end(), out->codes);
    std::copy(layer.scales.begin(), layer.scales.end(), out->scales);
    std::copy(layer.zeros.begin(), layer.zeros.end(), out->zeros);
    std::copy(layer.g_idx.begin(), layer.g_idx.end(), out->g_idx);
    out->damp_percent = prepared.damp_percent;
    out->diagonal_floor = prepared.diagonal_floor;
    out->loss = layer.loss;
  });
}

// The column of each step of the sweep.
EXPORTED const char* sweep_order(const Hessian* hessian, const Options* o, std::int64_t* order) {
  return refusal_of([&] {
    const PreparedHessian prepared = prepare(*hessian, solver_options(*o), on_threads);
    std::copy(prepared.order.begin(), prepared.order.end(), order);
  });
}

// Codes [inputs, outputs] and zeros [groups, outputs] to and from words; `planar`: gptq_p.
EXPORTED const char* pack_layer(const std::uint8_t* codes, const std::uint8_t* zeros,
                                std::int64_t inputs, std::int64_t outputs, std::int64_t groups,
                                std::int32_t bits, std::int32_t planar, std::uint32_t* qweight,
                                std::uint32_t* qzeros) {
  return refusal_of([&] {
    const WordLayout layout = planar ? WordLayout::planar : WordLayout::continuous;
    const auto w = pack_weight({codes, size_of(inputs, outputs)}, inputs, outputs, bits, layout);
    const auto z = pack_zeros({zeros, size_of(groups, outputs)}, groups, outputs, bits, layout);
    std::copy(w.begin(), w.end(), qweight);
    std::copy(z.begin(), z.end(), qzeros);
  });
}

EXPORTED const char* unpack_layer(const std::uint32_t* qweight, const std::uint32_t* qzeros,
                                  std::int64_t inputs, std::int64_t outputs, std::int64_t groups,
                                  std::int32_t bits, std::int32_t planar, std::uint8_t* codes,
                                  std::uint8_t* zeros) {
  return refusal_of([&] {
    const WordLayout layout = planar ? WordLayout::planar : WordLayout::continuous;
    const auto words = [&](std::int64_t count) { return words_for(count, bits, layout); };
    const auto w =
        unpack_weight({qweight, size_of(words(inputs), outputs)}, inputs, outputs, bits, layout);
    const auto z =
        unpack_zeros({qzeros, size_of(groups, words(outputs))}, groups, outputs, bits, layout);
    std::copy(w.begin(), w.end(), codes);
    std::copy(z.begin(), z.end(), zeros);
  });
}

// In place: `to_v1` else to v2.
EXPORTED const char* convert_zero_words(std::uint32_t* qzeros, std::int64_t groups,
                                        std::int64_t outputs, std::int32_t bits,
                                        std::int32_t to_v1) {
  return refusal_of([&] {
    convert_zeros({qzeros, size_of(groups, words_for(outputs, bits))}, groups, outputs, bits,
                  to_v1 ? ZeroFormat::v2 : ZeroFormat::v1, to_v1 ? ZeroFormat::v1 : ZeroFormat::v2);
  });
}
