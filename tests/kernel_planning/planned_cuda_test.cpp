#include <gtest/gtest.h>

#include <stdexcept>

#include "lighthouse/core/arena.h"
#include "lighthouse/kernels/cuda_scratch.h"
#include "lighthouse/kernels/planning.h"
#include "lighthouse/ops/cost_meter.h"

namespace lighthouse {
namespace {

TEST(PlannedCudaTest, HasTheSizesOfTheCudaBackend) {
  CudaOptions options;
  options.deterministic = true;
  options.attention_workspace = 16 * kMebibyte;
  const auto backend = make_planned_cuda_backend(options, {"a GPU", 80 * kGibibyte, 1e15, 3e12});
  EXPECT_EQ(backend->dtype(), DType::kBFloat16);
  EXPECT_EQ(backend->device().kind, DeviceKind::kCuda);
  EXPECT_EQ(backend->hardware().memory_bytes, 80 * kGibibyte);
  EXPECT_EQ(backend->linear_scratch(), cuda_scratch::linear());
  const Shape q{2, 4096, 4, 64};
  EXPECT_EQ(backend->attention_backward_scratch(q, 2, false, 0),
            cuda_scratch::attention_backward(DType::kBFloat16, q, 2, true, 16 * kMebibyte));
  EXPECT_EQ(backend->attention_backward_scratch(q, 2, false, 100),
            cuda_scratch::attention_backward(DType::kBFloat16, q, 2, true, 16 * kMebibyte, false, 100));
  EXPECT_LT(backend->attention_backward_scratch(q, 2, false, 100), backend->attention_backward_scratch(q, 2, false, 0))
      << "workspace is for the keys that queries see";
}

TEST(PlannedCudaTest, CountsOperationsAndRunsNone) {
  const auto backend = make_planned_cuda_backend({});
  Arena arena;
  const Tensor x = arena.allocate(MemoryUse::kActivations, {10, 10}, backend->dtype());
  const Stream stream = backend->compute_stream();
  {
    Rates rates;
    rates.product_flops = 1e3;
    const CostMeter meter(*backend, CostMeter::Mode::kCount, rates);
    backend->linear_forward(stream, x, Tensor(), x, x);
    EXPECT_EQ(meter.costs().at(0).roofline_seconds, 2);
  }
  EXPECT_THROW(backend->linear_forward(stream, x, Tensor(), x, x), std::logic_error);
  EXPECT_THROW(backend->fill(stream, x, 0), std::logic_error);
  EXPECT_THROW(backend->allocate(1), std::logic_error);
  EXPECT_EQ(backend->allocate_host(16).bytes(), 16);
}

}  // namespace
}  // namespace lighthouse
