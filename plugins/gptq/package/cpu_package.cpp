// The C functions of qh.gptq.kernels/1 on the CPU: check, split over threads, compute.
#include "package/cpu_package.hpp"

#include <algorithm>
#include <memory>
#include <vector>

#include "format.hpp"
#include "package/arguments.hpp"

namespace quanthost::gptq {
namespace {

constexpr std::size_t kLine = 64;  // bytes of a cache line and of the widest vectors

// The first line of a scratch that was asked for with kLine bytes to spare.
void* first_line(const qh::Scratch& scratch) {
  void* start = scratch.as<char>();
  std::size_t spare = kLine;
  return std::align(kLine, 1, start, spare);
}

template <typename Body>
qh_status on_package(qh_package* self, Body&& body) noexcept {
  const auto& package = *reinterpret_cast<const CpuPackage*>(self);
  return package.host.guard([&] { body(package); });
}

qh_status sort_rows(qh_package* self, const qh_exec* abi, const qh_gptq_weight* weight,
                    std::uint32_t* qweight, std::int32_t* g_idx, std::int32_t* input_order) {
  return on_package(self, [&](const CpuPackage& p) {
    const Matrix w = checked_weight(weight);
    if (w.input_order) throw qh::Error(QH_ERR_VALUE, "the rows are already sorted");
    if (!qweight || !g_idx || !input_order)
      throw qh::Error(QH_ERR_VALUE, "an output of sort_rows is missing");
    const auto inputs = static_cast<std::size_t>(w.inputs);
    const std::vector<std::int32_t> rows = rows_by_group({w.g_idx, inputs}, w.groups);
    for (std::size_t i = 0; i < inputs; ++i) {
      input_order[i] = rows[i];
      g_idx[i] = w.g_idx[rows[i]];
    }
    const qh::Exec exec(p.host, abi);
    exec.parallel_for(w.outputs, 16, [&](std::int64_t begin, std::int64_t end) {
      std::vector<std::uint8_t> codes(inputs), sorted(inputs);
      for (std::int64_t n = begin; n < end; ++n) {
        unpack(w.qweight + n, w.outputs, w.inputs, w.bits, WordLayout::continuous, codes.data(), 1);
        for (std::size_t i = 0; i < inputs; ++i)
          sorted[i] = codes[static_cast<std::size_t>(rows[i])];
        pack(sorted, w.inputs, 1, w.bits, WordLayout::continuous, qweight + n, w.outputs);
      }
    });
  });
}

qh_status dequantize(qh_package* self, const qh_exec* abi, const qh_gptq_weight* weight,
                     qh_dtype dtype, void* out) {
  return on_package(self, [&](const CpuPackage& p) {
    const Matrix w = checked_weight(weight);
    const FloatType type = float_type(dtype, "the dense weight");
    if (!out) throw qh::Error(QH_ERR_VALUE, "the output of dequantize is missing");
    const qh::Exec exec(p.host, abi);
    exec.parallel_for(ceil_div(w.inputs, kSlab), 1, [&](std::int64_t begin, std::int64_t end) {
      p.kernels.dequantize(w, type, out, begin, end);
    });
  });
}

using RangeKernel = void (*)(const ProductArgs&, std::int64_t, std::int64_t);

void run_product(const CpuPackage& p, const qh_exec* abi, ProductArgs a, std::int64_t input_size,
                 std::int64_t items, RangeKernel stage, RangeKernel kernel) {
  if (a.batch == 0) return;
  const qh::Exec exec(p.host, abi);
  const qh::Scratch staged(*abi, static_cast<std::uint64_t>(a.batch * input_size) * sizeof(float));
  a.staged = staged.as<float>();
  exec.parallel_for(a.batch, 1,
                    [&](std::int64_t begin, std::int64_t end) { stage(a, begin, end); });
  exec.parallel_for(items, 1, [&](std::int64_t begin, std::int64_t end) { kernel(a, begin, end); });
}

// Whether the rows of every slab are of one group: natural or sorted order, groups of 32 and more.
bool slabs_have_one_group(const Matrix& w) {
  for (std::int64_t first = 0; first < w.inputs; first += kSlab) {
    const std::int32_t group = w.g_idx[first];
    std::int32_t differences = 0;
    for (std::int64_t k = first; k < std::min(first + kSlab, w.inputs); ++k)
      differences |= w.g_idx[k] ^ group;
    if (differences != 0) return false;
  }
  return true;
}

std::vector<Run> runs_of(const Matrix& w) {
  const std::int64_t slabs = ceil_div(w.inputs, kSlab);
  std::vector<Run> runs;
  for (std::int64_t slab = 0; slab < slabs; ++slab) {
    const std::int64_t group = w.g_idx[slab * kSlab];
    if (runs.empty() || runs.back().group != group || slab - runs.back().begin == kLongestRun)
      runs.push_back({slab, slab, group});
    runs.back().end = slab + 1;
  }
  return runs;
}

// The inputs of a product in pairs, for as long as it lives.
class StagedPairs {
 public:
  StagedPairs(const qh_exec& abi, const PairArgs& unstaged)
      : StagedPairs(abi, unstaged,
                    ceil_div(unstaged.product.weight.inputs, kSlab) * unstaged.rows * (kSlab / 2),
                    unstaged.run_count * unstaged.rows) {}
  const PairArgs& args() const { return args_; }

 private:
  StagedPairs(const qh_exec& abi, const PairArgs& unstaged, std::int64_t pairs, std::int64_t sums)
      : scratch_(abi, static_cast<std::uint64_t>((pairs + sums) * 4) + kLine), args_(unstaged) {
    args_.pairs = static_cast<std::uint32_t*>(first_line(scratch_));
    args_.sums = reinterpret_cast<float*>(args_.pairs + pairs);
  }
  const qh::Scratch scratch_;
  PairArgs args_;
};

// Rows that are staged by every thread for itself, in all: what other cores have read is slow to
// write again, and the next product is likely to get the same memory.
constexpr std::int64_t kOwnRows = 512;

void run_pairs(const CpuPackage& p, const qh_exec* abi, const ProductArgs& product) {
  const std::vector<Run> runs = runs_of(product.weight);
  PairArgs a{};
  a.product = product;
  a.parts = product.type == FloatType::f16 ? 2 : 1;
  a.rows = product.batch * a.parts;
  a.chunks = ceil_div(product.batch, kChunkRows / a.parts);
  a.runs = runs.data();
  a.run_count = static_cast<std::int64_t>(runs.size());
  const qh::Exec exec(p.host, abi);
  const PairProduct& kernel = *p.kernels.pairs;
  const std::int64_t strips = ceil_div(product.weight.outputs, kStrip), at_least = 4;
  if (a.rows * exec.thread_count() <= kOwnRows) {
    const std::int64_t share = std::max(strips / exec.thread_count(), at_least);
    exec.parallel_for(strips, share, [&](std::int64_t begin, std::int64_t end) {
      const StagedPairs own(*abi, a);
      kernel.stage(own.args(), 0, product.batch);
      kernel.run(own.args(), begin, end);
    });
    return;
  }
  const StagedPairs staged(*abi, a);
  // A few tokens are staged sooner than another thread wakes.
  constexpr std::int64_t kStagedAtLeast = 1 << 16;
  exec.parallel_for(
      product.batch, ceil_div(kStagedAtLeast, product.weight.inputs),
      [&](std::int64_t begin, std::int64_t end) { kernel.stage(staged.args(), begin, end); });
  exec.parallel_for(strips, at_least, [&](std::int64_t begin, std::int64_t end) {
    kernel.run(staged.args(), begin, end);
  });
}

qh_status forward(qh_package* self, const qh_exec* abi, const qh_gptq_weight* weight,
                  const qh_gptq_product_args* args) {
  return on_package(self, [&](const CpuPackage& p) {
    const Matrix w = checked_weight(weight);
    const ProductArgs a = checked_product(w, args);
    if (p.kernels.pairs && a.type != FloatType::f32 && a.batch > 0 && slabs_have_one_group(w))
      return run_pairs(p, abi, a);
    run_product(p, abi, a, w.inputs, ceil_div(w.outputs, kStrip), p.kernels.stage_forward,
                p.kernels.forward);
  });
}

qh_status backward_input(qh_package* self, const qh_exec* abi, const qh_gptq_weight* weight,
                         const qh_gptq_product_args* args) {
  return on_package(self, [&](const CpuPackage& p) {
    const Matrix w = checked_weight(weight);
    run_product(p, abi, checked_product(w, args), w.outputs, ceil_div(w.inputs, kSlab),
                p.kernels.stage_backward, p.kernels.backward);
  });
}

qh_status add_to_hessian(qh_package* self, const qh_exec* abi, qh_dtype dtype, const void* inputs,
                         std::int64_t tokens, std::int64_t columns, float keep, float factor,
                         float* hessian) {
  return on_package(self, [&](const CpuPackage& p) {
    HessianArgs a{
        inputs, float_type(dtype, "the calibration input"), tokens, columns, keep, factor, hessian,
        nullptr};
    check_hessian(a);
    const bool pairs = p.kernels.bf16_hessian && a.type == FloatType::bf16;
    const HessianProduct& product = pairs ? *p.kernels.bf16_hessian : *p.kernels.hessian;
    const qh::Scratch scratch(*abi, static_cast<std::uint64_t>(product.staged_bytes(a)) + kLine);
    a.staged = first_line(scratch);
    const qh::Exec exec(p.host, abi);
    exec.parallel_for(ceil_div(columns, product.panel), 1,
                      [&](std::int64_t begin, std::int64_t end) { product.stage(a, begin, end); });
    exec.parallel_for(product.tiles(columns), 1,
                      [&](std::int64_t begin, std::int64_t end) { product.run(a, begin, end); });
  });
}

}  // namespace

const qh_gptq_kernels& cpu_package_table() {
  static constexpr qh_gptq_kernels table = {
      sizeof(qh_gptq_kernels), 0,       sort_rows, dequantize, forward, backward_input,
      add_to_hessian,          nullptr, nullptr};
  return table;
}

}  // namespace quanthost::gptq
