// HQQ, after "Half-Quadratic Quantization of Large Machine Learning Models" as optimum-quanto sets
// it up. Every step is rounded to the weight's type; sums run in double precision, so the last
// digits may differ from torch's.
#include "package/hqq.hpp"

#include <cmath>
#include <quanthost/cpu/formats.hpp>
#include <vector>

namespace quanthost::quanto {
namespace {

constexpr double kNorm = 0.7, kBeta = 10.0, kKappa = 1.01;
constexpr int kSteps = 20;

template <typename T>
float rounded(double v) {
  return cpu::to_float(cpu::from_float<T>(static_cast<float>(v)));
}

template <typename T>
float shrink(float x, double beta) {
  const float magnitude = std::fabs(x);
  const float power = rounded<T>(std::pow(magnitude, static_cast<float>(kNorm - 1.0)));
  const float left = rounded<T>(magnitude - rounded<T>((1.0 / beta) * power));
  return left > 0.0f ? std::copysign(left, x) : 0.0f;
}

template <typename T>
struct Rows {
  const qh::Exec& exec;
  const T* base;
  const Matrix& m;

  float at(const void* values, std::int64_t row) const {
    return cpu::to_float(static_cast<const T*>(values)[row]);
  }
  float dense(std::int64_t row, std::int64_t column) const {
    return rounded<T>(rounded<T>(at(m.scale, row) * m.data[row * m.columns + column]) -
                      at(m.shift, row));
  }
  double mean_error() const {
    std::vector<double> sums(static_cast<std::size_t>(m.rows));
    exec.parallel_for(m.rows, 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        for (std::int64_t c = 0; c < m.columns; ++c)
          sums[static_cast<std::size_t>(r)] +=
              std::fabs(rounded<T>(cpu::to_float(base[r * m.columns + c]) - dense(r, c)));
    });
    double total = 0.0;
    for (double sum : sums) total += sum;
    return rounded<T>(total / static_cast<double>(m.rows * m.columns));
  }
  void next_shift(double beta, T* shift) const {
    exec.parallel_for(m.rows, 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        double sum = 0.0;
        for (std::int64_t c = 0; c < m.columns; ++c) {
          const float w = cpu::to_float(base[r * m.columns + c]);
          const float target = rounded<T>(w - shrink<T>(rounded<T>(w - dense(r, c)), beta));
          sum += rounded<T>(rounded<T>(at(m.scale, r) * m.data[r * m.columns + c]) - target);
        }
        shift[r] = cpu::from_float<T>(static_cast<float>(sum / static_cast<double>(m.columns)));
      }
    });
  }
};

template <typename T>
void refine(const qh::Exec& exec, const void* base, const Matrix& matrix,
            const Requantize& requantize) {
  Matrix trial = matrix;
  std::vector<T> shift(static_cast<std::size_t>(matrix.rows));
  T* best = static_cast<T*>(matrix.shift);
  shift.assign(best, best + matrix.rows);
  trial.shift = shift.data();
  const Rows<T> rows{exec, static_cast<const T*>(base), trial};
  requantize(trial);
  double error = rows.mean_error(), beta = kBeta;
  for (int step = 0; step < kSteps; ++step) {
    exec.throw_if_cancelled();
    rows.next_shift(beta, shift.data());
    requantize(trial);
    const double now = rows.mean_error();
    if (!(now < error)) return;
    error = now;
    std::copy(shift.begin(), shift.end(), best);
    beta *= kKappa;
  }
}

}  // namespace

void refine_shift(const qh::Exec& exec, const void* base, const Matrix& matrix,
                  const Requantize& requantize) {
  switch (matrix.dtype) {
    case Dtype::f32:
      return refine<float>(exec, base, matrix, requantize);
    case Dtype::f16:
      return refine<cpu::Float16>(exec, base, matrix, requantize);
    case Dtype::bf16:
      return refine<cpu::BFloat16>(exec, base, matrix, requantize);
  }
}

}  // namespace quanthost::quanto
