// qh.linalg/1: dense linear algebra through LibTorch, on whatever device the matrices lie. Products
// have the same bits for every number of threads; LAPACK's factorizations have other ones, so that
// on the CPU they run on one thread.
#include <ATen/ops/addmm.h>
#include <ATen/ops/cholesky_inverse.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/mm.h>

#include <optional>

#include "host/load/abi_strings.hpp"
#include "host/load/calibration/row_loop.hpp"
#include "host/load/exec.hpp"
#include "host/load/services/services.hpp"
#include "host/load/tensor_bridge.hpp"

namespace quanthost::services {
namespace {

at::Tensor matrix(const qh_tensor* view, const char* what) {
  at::Tensor tensor = alias(*view);
  if (tensor.dim() != 2)
    fail(ErrorKind::kValue, "{}: needs a matrix, found {} dimensions", what, tensor.dim());
  return tensor;
}

void need_real(const at::Tensor& tensor, const char* what) {
  if (tensor.scalar_type() != at::kFloat && tensor.scalar_type() != at::kDouble) {
    fail(ErrorKind::kType, "{}: needs float32 or float64, found {}", what,
         c10::toString(tensor.scalar_type()));
  }
}

// Alone where the number of threads would show in the result.
class Factoring {
 public:
  explicit Factoring(const at::Tensor& a) {
    if (a.is_cpu()) alone_.emplace();
  }

 private:
  std::optional<OneThread> alone_;
};

at::Tensor factor(const at::Tensor& a, bool upper, const char* what) {
  auto [lower, info] = at::linalg_cholesky_ex(a, upper, /*check_errors=*/false);
  const int failed_at = info.item<int>();
  if (failed_at != 0) {
    throw Error(
        ErrorKind::kValue,
        fmt::format("{}: the matrix is not positive definite (leading minor {})", what, failed_at),
        "add more damping to its diagonal");
  }
  return lower;
}

qh_status matmul(const qh_exec*, std::uint32_t flags, double alpha, const qh_tensor* a,
                 const qh_tensor* b, double beta, const qh_tensor* c) {
  return guard_call([&] {
    const at::Tensor left = matrix(a, "matmul"), right = matrix(b, "matmul");
    at::Tensor out = matrix(c, "matmul");
    need_real(out, "matmul");
    out.addmm_(flags & QH_LINALG_TRANSPOSE_A ? left.t() : left,
               flags & QH_LINALG_TRANSPOSE_B ? right.t() : right, beta, alpha);
  });
}

qh_status syrk(const qh_exec*, std::uint32_t flags, double alpha, const qh_tensor* a, double beta,
               const qh_tensor* c) {
  return guard_call([&] {
    at::Tensor out = matrix(c, "syrk");
    need_real(out, "syrk");
    const at::Tensor given = matrix(a, "syrk");
    const at::Tensor x = (flags & QH_LINALG_TRANSPOSE_A ? given.t() : given).to(out.scalar_type());
    out.addmm_(x.t(), x, beta, alpha);
  });
}

qh_status cholesky(const qh_exec*, std::uint32_t flags, const qh_tensor* a) {
  return guard_call([&] {
    at::Tensor inout = matrix(a, "cholesky");
    need_real(inout, "cholesky");
    const Factoring alone(inout);
    inout.copy_(factor(inout, (flags & QH_LINALG_UPPER) != 0, "cholesky"));
  });
}

qh_status inverse_cholesky_upper(const qh_exec*, const qh_tensor* a) {
  return guard_call([&] {
    at::Tensor inout = matrix(a, "inverse_cholesky_upper");
    need_real(inout, "inverse_cholesky_upper");
    const Factoring alone(inout);
    const at::Tensor inverse = at::cholesky_inverse(factor(inout, false, "inverse_cholesky_upper"));
    inout.copy_(factor(inverse, true, "inverse_cholesky_upper"));
  });
}

qh_status triangular_solve(const qh_exec*, std::uint32_t flags, const qh_tensor* a,
                           const qh_tensor* b) {
  return guard_call([&] {
    const at::Tensor triangle = matrix(a, "triangular_solve");
    at::Tensor inout = matrix(b, "triangular_solve");
    const Factoring alone(inout);
    need_real(inout, "triangular_solve");
    const bool transpose = (flags & QH_LINALG_TRANSPOSE_A) != 0;
    const bool upper = ((flags & QH_LINALG_UPPER) != 0) != transpose;
    inout.copy_(at::linalg_solve_triangular(transpose ? triangle.t() : triangle, inout, upper,
                                            (flags & QH_LINALG_LEFT) != 0,
                                            /*unitriangular=*/false));
  });
}

}  // namespace

const qh_linalg_api& linalg() {
  static const qh_linalg_api table{
      sizeof(qh_linalg_api), 0, matmul, syrk, cholesky, inverse_cholesky_upper, triangular_solve};
  return table;
}

}  // namespace quanthost::services
