// Streams, events and recorded graphs.
#include "kernel_test.h"

namespace lighthouse {
namespace {

class OrderTest : public KernelTest {
 protected:
  static constexpr int64_t kRounds = 4, kNumel = int64_t{1} << 22;

  Tensor floats(const Memory& memory, int64_t round) const {
    return Tensor(memory.address(), {memory.bytes() / 4}, DType::kFloat32, memory.device())
        .slice(0, round * kNumel, (round + 1) * kNumel);
  }
};

TEST_P(OrderTest, CopiesToTheHostWaitForWhatTheyCopy) {
  const Memory device = gpu_->allocate(4 * kNumel), host = gpu_->allocate_host(4 * kNumel * kRounds);
  const Tensor x = floats(device, 0);
  Event copied;  // reached
  for (int64_t round = 0; round < kRounds; ++round) {
    gpu_->wait(gpu_->compute_stream(), copied);
    for (int i = 0; i < 20; ++i) gpu_->fill(gpu_->compute_stream(), x, -1);
    gpu_->fill(gpu_->compute_stream(), x, static_cast<float>(round));
    gpu_->wait(gpu_->download_stream(), gpu_->record(gpu_->compute_stream()));
    gpu_->copy(gpu_->download_stream(), floats(host, round), x);
    copied = gpu_->record(gpu_->download_stream());
  }
  gpu_->wait(copied);
  for (int64_t round = 0; round < kRounds; ++round) {
    const float* values = floats(host, round).data<float>();
    EXPECT_EQ(std::count(values, values + kNumel, static_cast<float>(round)), kNumel) << "round " << round;
  }
}

TEST_P(OrderTest, OperationsWaitForCopiesFromTheHost) {
  const Memory device = gpu_->allocate(4 * kNumel), host = gpu_->allocate_host(4 * kNumel * kRounds);
  const Memory sum = gpu_->allocate(8), scratch = gpu_->allocate(gpu_->reduction_scratch(kNumel));
  const Tensor x = floats(device, 0), total(sum.address(), {1}, DType::kFloat64, sum.device());
  const Tensor partial(scratch.address(), {scratch.bytes()}, DType::kUInt8, scratch.device());
  Event used;
  for (int64_t round = 0; round < kRounds; ++round) {
    std::fill_n(floats(host, round).data<float>(), kNumel, static_cast<float>(1 << (8 * round)));
    gpu_->wait(gpu_->upload_stream(), used);
    gpu_->copy(gpu_->upload_stream(), x, floats(host, round));
    gpu_->wait(gpu_->compute_stream(), gpu_->record(gpu_->upload_stream()));
    gpu_->add_sum(gpu_->compute_stream(), total, partial, x, 1);
    used = gpu_->record(gpu_->compute_stream());
  }
  EXPECT_EQ(download<double>(*gpu_, total), Values{0x01010101 * static_cast<double>(kNumel)});
}

TEST_P(OrderTest, CaptureRecordsAndDoesNotRun) {
  Comparison c = compare({1000});
  const Operand x = c.output(DType::kFloat32, {1000});
  c.run_on_gpu(
      [&](const Side& on) { EXPECT_NE(on->capture(on.stream, [&] { on->fill(on.stream, on(x), 1); }), nullptr); });
  EXPECT_TRUE(c.unchanged_on_gpu(x));
}

// A hand-written kernel, a product, attention, and gradients that add; run before they are recorded, as in training.
TEST_P(OrderTest, GraphLaunchedTwiceDoesWhatTwoRunsDo) {
  constexpr int64_t kTokens = 129, kHidden = 128, kHeadDim = 64;
  const Shape activations{kTokens, kHidden}, qkv_shape{kTokens, 3 * kHidden}, heads{1, kTokens, 2, kHeadDim};
  Comparison c = compare(activations);
  const Operand x = c.input(type(), activations), norm_weight = c.input(type(), {kHidden});
  const Operand weight = c.input(type(), {3 * kHidden, kHidden});
  const Operand normed = c.output(type(), activations), rstd = c.output(DType::kFloat32, {kTokens});
  const Operand qkv = c.output(type(), qkv_shape), out = c.output(type(), heads);
  const Operand lse = c.output(DType::kFloat32, {1, 2, kTokens});
  const Operand dweight = c.updated(DType::kFloat32, {kHidden, kHidden});
  const Operand linear_scratch = c.scratch([](const Backend& b) { return b.linear_scratch(); });
  const Operand attention_scratch =
      c.scratch([&](const Backend& b) { return b.attention_forward_scratch(heads, 2, false, 0); });
  const auto work = [&](const Side& on) {
    on->rmsnorm_forward(on.stream, on(normed), on(rstd), on(x), on(norm_weight), 1e-5);
    on->linear_forward(on.stream, on(qkv), on(linear_scratch), on(normed), on(weight));
    const Tensor fused = on(qkv).view({1, kTokens, 6, kHeadDim});
    on->attention_forward(on.stream, on(out), on(lse), on(attention_scratch), fused.slice(2, 0, 2),
                          fused.slice(2, 2, 4), fused.slice(2, 4, 6));
    on->linear_backward_weight(on.stream, on(dweight), on(linear_scratch), on(out).view(activations), on(normed));
  };
  c.run_on_gpu([&](const Side& on) {
    work(on);
    work(on);
  });
  const std::vector<Operand> results = {normed, rstd, qkv, out, lse, dweight};
  std::vector<Bytes> expected;
  expected.reserve(results.size());
  for (const Operand operand : results) expected.push_back(c.gpu_bytes(operand));
  c.run_on_gpu([&](const Side& on) {
    const auto graph = on->capture(on.stream, [&] { work(on); });
    ASSERT_NE(graph, nullptr);
    graph->launch(on.stream);
    graph->launch(on.stream);
    on->wait(on.stream);
  });
  for (size_t i = 0; i < results.size(); ++i) EXPECT_TRUE(c.gpu_bytes(results[i]) == expected[i]) << "result " << i;
}

INSTANTIATE_TEST_SUITE_P(Types, OrderTest, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
