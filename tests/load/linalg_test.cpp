// qh.linalg/1: what it promises of threads.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "host/load/abi_strings.hpp"
#include "host/load/services/services.hpp"
#include "host/load/tensor_bridge.hpp"

namespace quanthost {
namespace {

// Every function of the table on the same matrices, one result behind the other.
std::vector<at::Tensor> all_results(std::int64_t n) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({n + 40, n}), start = at::randn({n, n});
  const auto view = [](const at::Tensor& t) { return view_of(t); };
  const qh_linalg_api& api = services::linalg();
  const qh_tensor left = view(x);
  at::Tensor product = start.clone(), gram = start.clone();
  qh_tensor out = view(product);
  EXPECT_EQ(api.matmul(nullptr, QH_LINALG_TRANSPOSE_A, 0.5, &left, &left, 0.25, &out), QH_OK);
  out = view(gram);
  EXPECT_EQ(api.syrk(nullptr, 0, 2.0, &left, 0.25, &out), QH_OK);
  const at::Tensor definite = x.t().matmul(x) + at::eye(n) * static_cast<double>(n);
  at::Tensor lower = definite.clone(), inverse = definite.clone(), solved = start.clone();
  out = view(lower);
  EXPECT_EQ(api.cholesky(nullptr, 0, &out), QH_OK);
  out = view(inverse);
  EXPECT_EQ(api.inverse_cholesky_upper(nullptr, &out), QH_OK);
  const qh_tensor triangle = view(lower);
  out = view(solved);
  EXPECT_EQ(api.triangular_solve(nullptr, QH_LINALG_LEFT, &triangle, &out), QH_OK);
  return {product, gram, lower, inverse, solved};
}

TEST(LinearAlgebra, GivesTheSameBitsForEveryNumberOfThreads) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer does not see that OpenMP's threads wait for each other";
#endif
  const int before = at::get_num_threads();
  for (const std::int64_t n : {45, 300, 576}) {
    at::set_num_threads(1);
    const auto one = all_results(n);
    for (const int threads : {2, 3}) {
      at::set_num_threads(threads);
      const auto several = all_results(n);
      EXPECT_EQ(at::get_num_threads(), threads) << "the setting is the caller's";
      for (std::size_t i = 0; i < one.size(); ++i)
        EXPECT_TRUE(at::equal(several[i], one[i])) << "result " << i << " of " << n;
    }
  }
  at::set_num_threads(before);
}

}  // namespace
}  // namespace quanthost
