#include "lighthouse/ops/cost_meter.h"

#include <stdexcept>
#include <string>
#include <thread>

#include "lighthouse/core/arena.h"
#include "op_test.h"

namespace lighthouse {
namespace {

using Mode = CostMeter::Mode;

/// A tensor without memory: an operation that runs on it crashes.
Tensor nowhere(const Shape& shape, DType dtype = DType::kFloat32) {
  return {nullptr, shape, dtype};
}

class CostMeterTest : public OpTest {
 protected:
  /// The cost of the single operation since the last call.
  OperationCost counted() {
    EXPECT_EQ(meter_.costs().size(), 1u);
    const OperationCost cost = meter_.costs().at(0);
    meter_.reset();
    return cost;
  }
  void expect_traffic(const std::string& kind, double bytes) {
    const OperationCost cost = counted();
    EXPECT_EQ(cost.kind, kind);
    EXPECT_EQ(cost.work, Work::kTraffic);
    EXPECT_EQ(cost.flops, 0);
    EXPECT_EQ(cost.bytes, bytes) << kind;
  }

  CostMeter meter_{*backend_, Mode::kCount};
  /// Enough scratch for every operation here.
  Tensor scratch_ = nowhere({1 << 20}, DType::kUInt8);
  Tensor none_;
};

TEST_F(CostMeterTest, CountsLinear) {
  const Tensor x = nowhere({7, 5}, DType::kBFloat16), weight = nowhere({3, 5}, DType::kBFloat16);
  const Tensor out = nowhere({7, 3}, DType::kBFloat16);
  backend_->linear_forward(stream_, out, none_, x, weight);
  const OperationCost forward = counted();
  EXPECT_EQ(forward.kind, "matrix products forward");
  EXPECT_EQ(forward.work, Work::kProduct);
  EXPECT_EQ(forward.flops, 2 * 7 * 5 * 3);
  EXPECT_EQ(forward.bytes, 2 * (35 + 15 + 21));
  EXPECT_EQ(forward.seconds, 0);

  backend_->linear_backward_input(stream_, x, none_, out, weight);
  const OperationCost input = counted();
  EXPECT_EQ(input.kind, "matrix products backward input");
  EXPECT_EQ(input.flops, 2 * 7 * 5 * 3);
  EXPECT_EQ(input.bytes, 2 * (35 + 15 + 21));

  backend_->linear_backward_weight(stream_, nowhere({3, 5}), none_, out, x);
  const OperationCost gradient = counted();
  EXPECT_EQ(gradient.kind, "matrix products backward weight");
  EXPECT_EQ(gradient.flops, 2 * 7 * 5 * 3);
  EXPECT_EQ(gradient.bytes, 2 * 4 * 15 + 2 * (35 + 21)) << "the float32 gradient is read and written";
}

TEST_F(CostMeterTest, CountsAttention) {
  // Views of a fused q, k, v: only their own elements count.
  const Tensor qkv = nowhere({2, 10, 8, 16}, DType::kBFloat16);
  const Tensor q = qkv.slice(2, 0, 4), k = qkv.slice(2, 4, 6), v = qkv.slice(2, 6, 8);
  const Tensor out = nowhere({2, 10, 4, 16}, DType::kBFloat16), lse = nowhere({2, 4, 10});
  const double flops = 4.0 * 2 * 4 * 16 * 10 * 10 / 2;
  const double heads = 2 * 2 * 10 * 16;  // bytes of one head of all tokens

  backend_->attention_forward(stream_, out, lse, none_, q, k, v, {});
  const OperationCost forward = counted();
  EXPECT_EQ(forward.kind, "attention forward");
  EXPECT_EQ(forward.work, Work::kAttentionForward);
  EXPECT_EQ(forward.flops, flops);
  EXPECT_EQ(forward.bytes, 12 * heads + 4 * 80);

  backend_->attention_backward(stream_, q, k, v, none_, out, out, lse, q, k, v, {});
  const OperationCost backward = counted();
  EXPECT_EQ(backward.kind, "attention backward");
  EXPECT_EQ(backward.work, Work::kAttentionBackward);
  EXPECT_EQ(backward.flops, 2.5 * flops);
  EXPECT_EQ(backward.bytes, 24 * heads + 4 * 80);

  const Documents documents{nowhere({2, 10}, DType::kInt32), nowhere({22}, DType::kInt32), 0};
  backend_->attention_forward(stream_, out, lse, none_, q, k, v, {0, documents});
  const OperationCost inside_documents = counted();
  EXPECT_EQ(inside_documents.flops, flops) << "where they start is not known";
  EXPECT_EQ(inside_documents.bytes, 12 * heads + 4 * 80 + 4 * 20);
}

/// Pairs of a query and a key that it sees, counted one by one.
double pairs_in_window(int64_t length, int64_t window) {
  double pairs = 0;
  for (int64_t i = 0; i < length; ++i) pairs += static_cast<double>(std::min(i + 1, window));
  return pairs;
}

TEST_F(CostMeterTest, CountsThePairsOfAWindow) {
  const Tensor qkv = nowhere({2, 10, 8, 16}, DType::kBFloat16);
  const Tensor q = qkv.slice(2, 0, 4), k = qkv.slice(2, 4, 6), v = qkv.slice(2, 6, 8);
  const Tensor out = nowhere({2, 10, 4, 16}, DType::kBFloat16), lse = nowhere({2, 4, 10});
  const double heads = 2 * 2 * 10 * 16;  // bytes of one head of all tokens
  for (const int64_t window : {1, 3, 9}) {
    const double flops = 4.0 * 2 * 4 * 16 * pairs_in_window(10, window);
    backend_->attention_forward(stream_, out, lse, none_, q, k, v, {window, {}});
    const OperationCost forward = counted();
    EXPECT_EQ(forward.kind, "window attention forward");
    EXPECT_EQ(forward.work, Work::kAttentionForward);
    EXPECT_EQ(forward.flops, flops) << window;
    EXPECT_EQ(forward.bytes, 12 * heads + 4 * 80) << "every key and value is read, whatever the window";
    backend_->attention_backward(stream_, q, k, v, none_, out, out, lse, q, k, v, {window, {}});
    const OperationCost backward = counted();
    EXPECT_EQ(backward.kind, "window attention backward");
    EXPECT_EQ(backward.work, Work::kAttentionBackward);
    EXPECT_EQ(backward.flops, 2.5 * flops) << window;
    EXPECT_EQ(backward.bytes, 24 * heads + 4 * 80);
  }
  const double dense = causal_attention_flops(q.shape(), 0);
  EXPECT_EQ(causal_attention_flops(q.shape(), 10), dense) << "a window that hides nothing costs what dense costs";
  EXPECT_EQ(causal_attention_flops(q.shape(), 1000), dense);

  const Documents documents{nowhere({2, 10}, DType::kInt32), nowhere({22}, DType::kInt32), 0};
  backend_->attention_forward(stream_, out, lse, none_, q, k, v, {3, documents});
  EXPECT_EQ(counted().bytes, 12 * heads + 4 * 80 + 4 * 20);
}

TEST_F(CostMeterTest, DecodingInAWindowReadsItsKeysAlone) {
  const Tensor cache = nowhere({100, 2, 8}), out = nowhere({4, 8}), qkv = nowhere({8, 8}), angles = nowhere({100, 4});
  const Tensor position = nowhere({1}, DType::kInt32);
  const double token = 4 * (32 + 64), row = 4 * 2 * 2 * 8;  // bytes: of out and qkv; of a key and a value
  for (const auto& [window, rows] : {std::pair{0, 100}, std::pair{1, 1}, std::pair{30, 30}, std::pair{300, 100}}) {
    backend_->attention_decode(stream_, out, cache, cache, scratch_, qkv, angles, angles, position, window);
    expect_traffic("attention decode", token + rows * row);
  }
}

TEST_F(CostMeterTest, CountsLayers) {
  const Tensor x = nowhere({6, 8}), row = nowhere({8}), rstd = nowhere({6});
  backend_->rmsnorm_forward(stream_, x, rstd, x, row, 1e-5);
  expect_traffic("rmsnorm forward", 4 * (2 * 48 + 6 + 8));
  backend_->rmsnorm_residual_forward(stream_, x, x, rstd, x, x, row, 1e-5);
  expect_traffic("rmsnorm forward", 4 * (4 * 48 + 6 + 8));
  backend_->rmsnorm_backward(stream_, x, row, scratch_, x, x, row, rstd);
  expect_traffic("rmsnorm backward", 4 * (4 * 48 + 3 * 8 + 6));

  const Tensor wide = nowhere({6, 16});
  backend_->swiglu_forward(stream_, x, wide);
  expect_traffic("swiglu forward", 4 * (48 + 96));
  backend_->swiglu_backward(stream_, wide, x, x, wide);
  expect_traffic("swiglu backward", 4 * (2 * 48 + 2 * 96));

  const Tensor heads = nowhere({2, 3, 2, 4}), angle = nowhere({3, 2});
  backend_->rope_table(stream_, angle, angle, 10000);
  expect_traffic("rope", 4 * 12);
  backend_->rope_forward(stream_, heads, angle, angle);
  expect_traffic("rope", 4 * (2 * 48 + 12));
  backend_->rope_backward(stream_, heads, angle, angle);
  expect_traffic("rope", 4 * (2 * 48 + 12));
}

TEST_F(CostMeterTest, CountsEmbeddingAndLoss) {
  const Tensor x = nowhere({6, 8}), tokens = nowhere({6}, DType::kInt32), losses = nowhere({6});
  for (const int64_t vocabulary : {4, 100}) {
    const Tensor weight = nowhere({vocabulary, 8});
    const double rows = 4.0 * 8 * std::min<int64_t>(vocabulary, 6);
    backend_->embedding_forward(stream_, x, weight, tokens);
    expect_traffic("embedding forward", 4 * (48 + 6) + rows);
    backend_->embedding_backward(stream_, weight, scratch_, x, tokens);
    expect_traffic("embedding backward", 4 * (48 + 6) + 2 * rows);
  }
  const Tensor logits = nowhere({6, 16}, DType::kBFloat16);
  backend_->cross_entropy_forward(stream_, losses, logits, tokens, 11);
  expect_traffic("cross entropy", 2 * 6 * 11 + 4 * (6 + 6));
  backend_->cross_entropy_forward_backward(stream_, losses, logits, tokens, 11, 1);
  expect_traffic("cross entropy", 2 * 6 * (11 + 16) + 4 * (6 + 6));
}

TEST_F(CostMeterTest, CountsLighthouse) {
  LighthouseShape shape;
  shape.sequence_length = 64;
  shape.levels = 3;
  shape.pooling_factor = 2;
  shape.top_k = 8;
  shape.tile = 4;
  const int64_t s = shape.gathered(), e = shape.all_entries(), scored = shape.scored_entries();
  const Tensor q = nowhere({1, 64, 4, 8}), k = nowhere({1, 64, 2, 8}), rows_of_q = nowhere({1, s, 4, 8});
  const Tensor qkv = nowhere({1, 64, 8, 8}), rows_of_qkv = nowhere({1, s, 8, 8}), angles = nowhere({64, 4});
  const Tensor scores = nowhere({1, 2, scored});
  const LighthouseSelection selection{nowhere({1, 2, s}, DType::kInt32), nowhere({1, 2, e}, DType::kInt32)};
  const auto full = 64.0 * 4 * 8, some = static_cast<double>(s) * 4 * 8, half = full / 2;
  const auto in_scores = 2.0 * static_cast<double>(scored);
  const auto in_indices = 2.0 * static_cast<double>(s), in_rows = 2.0 * static_cast<double>(e);

  backend_->lighthouse_norm_scores(stream_, scores, scores, q, k, shape);
  expect_traffic("lighthouse norm scores", 4 * (full + half + 2 * in_scores));
  backend_->lighthouse_dilated_scores(stream_, scores, scores, scratch_, q, k, k, 16, shape);
  const OperationCost dilated = counted();
  EXPECT_EQ(dilated.work, Work::kAttentionForward);
  EXPECT_EQ(dilated.flops, 2 * 16 * (4.0 * 4 * 8 * 4 * 4 / 2)) << "two attentions, 16 streams of 4 tokens";
  EXPECT_EQ(dilated.bytes, 4 * (2 * full + 2 * in_scores));
  backend_->lighthouse_select(stream_, selection, scores, scores, shape);
  expect_traffic("lighthouse select", 4 * (in_indices + in_rows + 2 * in_scores));
  backend_->lighthouse_invert(stream_, selection, shape);
  expect_traffic("lighthouse invert", 4 * (in_indices + in_rows));
  backend_->lighthouse_gather(stream_, rows_of_qkv, qkv, selection, angles, angles, shape);
  expect_traffic("lighthouse gather", 4 * (2 * full + 2 * some + in_rows + 2 * 64 * 4));
  backend_->lighthouse_gather(stream_, rows_of_qkv, qkv, selection, {}, {}, shape);
  expect_traffic("lighthouse gather", 4 * (2 * full + 2 * some + in_rows));
  backend_->lighthouse_gather_backward(stream_, qkv, rows_of_qkv, selection, angles, angles, shape, {});
  expect_traffic("lighthouse gather backward", 4 * (2 * full + 2 * some + in_rows + 2 * 64 * 4));
  backend_->lighthouse_gather_backward(stream_, qkv, rows_of_qkv, selection, angles, angles, shape, qkv);
  expect_traffic("lighthouse gather backward", 4 * (4 * full + 2 * some + in_rows + 2 * 64 * 4));
  backend_->lighthouse_scatter(stream_, q, rows_of_q, selection, shape, {});
  expect_traffic("lighthouse scatter", 4 * (full + some + in_rows));
  backend_->lighthouse_scatter(stream_, q, rows_of_q, selection, shape, q);
  expect_traffic("lighthouse scatter", 4 * (2 * full + some + in_rows));
  backend_->lighthouse_scatter_backward(stream_, rows_of_q, q, selection, shape);
  expect_traffic("lighthouse scatter backward", 4 * (full + some + in_rows));
}

TEST_F(CostMeterTest, CountsOptimizerAndMemory) {
  const Tensor weight = nowhere({100}), working = nowhere({100}, DType::kBFloat16), scalars = nowhere({kAdamScalars});
  const Tensor step = nowhere({kStepScalars}, DType::kFloat64), one = nowhere({1}, DType::kFloat64);
  backend_->adamw(stream_, weight, none_, weight, weight, weight, scalars, {});
  expect_traffic("adamw", 4 * (7 * 100 + kAdamScalars));
  backend_->adamw(stream_, weight, working, working, working, weight, scalars, {});
  expect_traffic("adamw", 4 * (3 * 100 + kAdamScalars) + 2 * 5 * 100);
  backend_->plan_update(stream_, scalars, step, 1, 1, {});
  expect_traffic("adamw", 4 * kAdamScalars + 2 * 8 * kStepScalars);
  backend_->l2_norm(stream_, one, scratch_, weight);
  expect_traffic("gradient norm", 4 * 100 + 8);
  backend_->add_sum(stream_, one, scratch_, weight, 1);
  expect_traffic("loss sum", 4 * 100 + 16);

  backend_->fill(stream_, weight, 0);
  expect_traffic("fill and copy", 4 * 100);
  backend_->copy(stream_, working, weight);
  expect_traffic("fill and copy", 6 * 100);
  backend_->copy(stream_, weight, {nullptr, {100}, DType::kFloat32, {DeviceKind::kCuda, 0}});
  expect_traffic("fill and copy", 4 * 100);
}

TEST_F(CostMeterTest, SumsCallsAndTheirRooflines) {
  Rates rates;
  rates.product_flops = 10;
  rates.bytes_per_second = 4;
  CostMeter meter(*backend_, Mode::kCount, rates);
  backend_->fill(stream_, nowhere({5}), 0);
  backend_->linear_forward(stream_, nowhere({1, 1}), none_, nowhere({1, 1}), nowhere({1, 1}));  // 12 bytes, 2 flops
  backend_->linear_forward(stream_, nowhere({20, 20}), none_, nowhere({20, 20}), nowhere({20, 20}));  // 4800, 16000
  backend_->fill(stream_, nowhere({3}), 0);
  ASSERT_EQ(meter.costs().size(), 2u);
  EXPECT_EQ(meter.costs()[0].kind, "fill and copy");
  EXPECT_EQ(meter.costs()[0].calls, 2);
  EXPECT_EQ(meter.costs()[0].bytes, 32);
  EXPECT_DOUBLE_EQ(meter.costs()[0].roofline_seconds, 8);
  EXPECT_EQ(meter.costs()[1].calls, 2);
  EXPECT_EQ(meter.costs()[1].flops, 16002);
  EXPECT_DOUBLE_EQ(meter.costs()[1].roofline_seconds, 3 + 1600) << "one bound by traffic, one by arithmetic";
  meter.reset();
  EXPECT_TRUE(meter.costs().empty());
}

TEST_F(CostMeterTest, UnknownRatesAreNoLimit) {
  const OperationCost attention{"", Work::kAttentionBackward, 100, 10};
  EXPECT_EQ(roofline_seconds(attention, {}), 0);
  EXPECT_EQ(roofline_seconds(attention, {1, 1, 0, 5}), 2);
  EXPECT_EQ(roofline_seconds(attention, {1, 1, 4, 5}), 25);
}

TEST_F(CostMeterTest, ChecksArgumentsBeforeItCounts) {
  EXPECT_THROW(backend_->linear_forward(stream_, nowhere({2, 3}), none_, nowhere({2, 4}), nowhere({3, 5})),
               std::logic_error);
  EXPECT_TRUE(meter_.costs().empty());
}

class TimingTest : public OpTest {};

TEST_F(TimingTest, TimesWhatItRuns) {
  const Floats x = random_floats({200, 300}, 1), weight = random_floats({100, 300}, 2);
  for (const Mode mode : {Mode::kTime, Mode::kTimeRepeated}) {
    Floats expected({200, 100}), actual({200, 100});
    backend_->linear_forward(stream_, expected, {}, x, weight);
    const CostMeter meter(*backend_, mode);
    backend_->linear_forward(stream_, actual, {}, x, weight);
    EXPECT_EQ(actual.values, expected.values);
    ASSERT_EQ(meter.costs().size(), 1u);
    EXPECT_EQ(meter.costs()[0].flops, 2.0 * 200 * 300 * 100);
    EXPECT_EQ(meter.costs()[0].calls, 1);
    EXPECT_GT(meter.costs()[0].seconds, 0);
    EXPECT_LT(meter.costs()[0].seconds, 10);
  }
}

TEST_F(TimingTest, AnOperationsOwnOperationsAreNotCounted) {
  const Floats x = random_floats({1, 8}, 1), norm = random_floats({8}, 2), gate_up = random_floats({6, 8}, 3);
  Floats out({1, 3});
  const CostMeter meter(*backend_, Mode::kTime);
  backend_->token_norm_swiglu(stream_, out, x, norm, 1e-5, gate_up);
  ASSERT_EQ(meter.costs().size(), 1u);
  EXPECT_EQ(meter.costs()[0].kind, "norm, product and swiglu of a token");
}

TEST_F(TimingTest, DoesNotSeeOtherThreads) {
  Floats out({4}), other({4});
  const CostMeter meter(*backend_, Mode::kCount);
  std::thread([&] { backend_->fill(stream_, other, 1); }).join();
  EXPECT_EQ(other[0], 1) << "the operation ran";
  EXPECT_TRUE(meter.costs().empty());
  backend_->fill(stream_, out, 1);
  EXPECT_EQ(meter.costs().size(), 1u);
}

TEST_F(TimingTest, ObservesUntilItIsDestroyed) {
  Floats out({4});
  {
    const CostMeter outer(*backend_, Mode::kTime);
    {
      const CostMeter inner(*backend_, Mode::kTime);
      backend_->fill(stream_, out, 1);
      EXPECT_EQ(inner.costs().size(), 1u);
    }
    EXPECT_TRUE(outer.costs().empty()) << "only the innermost meter sees an operation";
    EXPECT_THROW(backend_->fill(stream_, {out.values.data(), {4}, DType::kFloat16}, 1), std::logic_error);
    backend_->fill(stream_, out, 1);
    EXPECT_EQ(outer.costs().size(), 1u) << "a failed operation is not counted, and the meter goes on";
    EXPECT_TRUE(backend_->is_observed());
  }
  EXPECT_FALSE(backend_->is_observed());
}

}  // namespace
}  // namespace lighthouse
