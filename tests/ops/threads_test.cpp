// Results have the same bits for any number of threads.
#include <omp.h>

#include <algorithm>

#include "lighthouse_test_shapes.h"

namespace lighthouse {
namespace {

class ThreadsTest : public OpTest {
 protected:
  ~ThreadsTest() override { omp_set_num_threads(usual_); }

  // `run` fills an output of this shape; it is run with one, two and three threads.
  void expect_same_bits(const char* what, const Shape& shape, const std::function<void(const Tensor&)>& run) {
    std::vector<float> first;
    for (int threads = 1; threads <= 3; ++threads) {
      omp_set_num_threads(threads);
      Floats out(shape);
      std::fill(out.values.begin(), out.values.end(), 0.25f);
      run(out);
      if (threads == 1) first = out.values;
      EXPECT_EQ(std::memcmp(first.data(), out.values.data(), first.size() * sizeof(float)), 0)
          << what << " with " << threads << " threads";
    }
  }

  int usual_ = omp_get_max_threads();
};

TEST_F(ThreadsTest, Layers) {
  const int64_t rows = 300, width = 200;
  const Floats x = random_floats({rows, width}, 1), dout = random_floats({rows, width}, 2);
  const Floats weight = random_floats({width}, 3), matrix = random_floats({width, width}, 4);
  Floats rstd({rows}), other({rows, width});
  backend_->rmsnorm_forward(stream_, other, rstd, x, weight, 1e-5);
  expect_same_bits("rmsnorm_forward", {rows, width},
                   [&](const Tensor& out) { backend_->rmsnorm_forward(stream_, out, rstd, x, weight, 1e-5); });
  const auto scratch = scratch_of(backend_->rmsnorm_backward_scratch(rows, width));
  expect_same_bits("rmsnorm_backward's dweight", {width}, [&](const Tensor& out) {
    backend_->rmsnorm_backward(stream_, constant_floats({rows, width}, 0), out, scratch, dout, x, weight, rstd);
  });
  expect_same_bits("linear_forward", {rows, width},
                   [&](const Tensor& out) { backend_->linear_forward(stream_, out, Tensor(), x, matrix); });
  expect_same_bits("linear_backward_input", {rows, width},
                   [&](const Tensor& out) { backend_->linear_backward_input(stream_, out, Tensor(), dout, matrix); });
  expect_same_bits("linear_backward_weight", {width, width},
                   [&](const Tensor& out) { backend_->linear_backward_weight(stream_, out, Tensor(), dout, x); });
  expect_same_bits("swiglu_forward", {rows, width / 2},
                   [&](const Tensor& out) { backend_->swiglu_forward(stream_, out, x); });
  expect_same_bits("swiglu_backward", {rows / 2, width}, [&](const Tensor& out) {
    Floats again({rows / 2, width / 2});
    backend_->swiglu_backward(stream_, out, again, dout.tensor.view({rows * 2, width / 2}).slice(0, 0, rows / 2),
                              x.tensor.slice(0, 0, rows / 2));
  });
  Ints tokens({rows});
  for (int64_t t = 0; t < rows; ++t) tokens[t] = static_cast<int32_t>(t * t % 13);
  expect_same_bits("embedding_backward", {13, width},
                   [&](const Tensor& out) { backend_->embedding_backward(stream_, out, Tensor(), dout, tokens); });
  expect_same_bits("cross_entropy", {rows}, [&](const Tensor& out) {
    Floats logits = random_floats({rows, width}, 9);
    backend_->cross_entropy_forward_backward(stream_, out, logits, tokens, width, 1.0);
  });
}

TEST_F(ThreadsTest, Optimizer) {
  const int64_t size = 70001;
  const Floats gradient = random_floats({size}, 1);
  expect_same_bits("l2_norm", {1}, [&](const Tensor& out) {
    Array<double> norm({1});
    const auto scratch = scratch_of(backend_->reduction_scratch(size));
    backend_->l2_norm(stream_, norm, scratch, gradient);
    *out.data<float>() = static_cast<float>(norm[0]);
  });
  const Floats scalars = constant_floats({kAdamScalars}, 0.5f);
  expect_same_bits("adamw", {size}, [&](const Tensor& out) {
    Floats m = random_floats({size}, 2), v = constant_floats({size}, 0.5f);
    backend_->adamw(stream_, out, Tensor(), m, v, gradient, scalars, AdamSettings());
  });
}

TEST_F(ThreadsTest, Attention) {
  const Shape q_shape{1, 900, 4, 16}, kv_shape{1, 900, 2, 16};
  const Floats q = random_floats(q_shape, 1), k = random_floats(kv_shape, 2), v = random_floats(kv_shape, 3);
  const Floats dout = random_floats(q_shape, 4);
  Floats out(q_shape), lse({1, 4, 900});
  const auto forward = [&](const Tensor& to) {
    const auto scratch = scratch_of(backend_->attention_forward_scratch(q_shape, 2, false, 0));
    backend_->attention_forward(stream_, to, lse, scratch, q, k, v);
  };
  expect_same_bits("attention_forward", q_shape, forward);
  forward(out);
  Floats dq(q_shape), dk(kv_shape), dv(kv_shape);
  const auto backward = [&](const Tensor& to_q, const Tensor& to_k, const Tensor& to_v) {
    const auto scratch = scratch_of(backend_->attention_backward_scratch(q_shape, 2, false, 0));
    backend_->attention_backward(stream_, to_q, to_k, to_v, scratch, dout, out, lse, q, k, v);
  };
  expect_same_bits("dq", q_shape, [&](const Tensor& to) { backward(to, dk, dv); });
  expect_same_bits("dk", kv_shape, [&](const Tensor& to) { backward(dq, to, dv); });
  expect_same_bits("dv", kv_shape, [&](const Tensor& to) { backward(dq, dk, to); });
}

TEST_F(ThreadsTest, AttentionInAWindow) {
  const Shape q_shape{1, 900, 4, 16}, kv_shape{1, 900, 2, 16};
  const Floats q = random_floats(q_shape, 1), k = random_floats(kv_shape, 2), v = random_floats(kv_shape, 3);
  const Floats dout = random_floats(q_shape, 4);
  for (const int64_t window : {1, 37, 300, 899}) {
    const AttentionMask mask{window, {}};
    Floats out(q_shape), lse({1, 4, 900}), dq(q_shape), dk(kv_shape), dv(kv_shape);
    const auto forward = [&](const Tensor& to) {
      const auto scratch = scratch_of(backend_->attention_forward_scratch(q_shape, 2, false, window));
      backend_->attention_forward(stream_, to, lse, scratch, q, k, v, mask);
    };
    expect_same_bits("attention_forward", q_shape, forward);
    forward(out);
    const auto backward = [&](const Tensor& to_q, const Tensor& to_k, const Tensor& to_v) {
      const auto scratch = scratch_of(backend_->attention_backward_scratch(q_shape, 2, false, window));
      backend_->attention_backward(stream_, to_q, to_k, to_v, scratch, dout, out, lse, q, k, v, mask);
    };
    expect_same_bits("dq", q_shape, [&](const Tensor& to) { backward(to, dk, dv); });
    expect_same_bits("dk", kv_shape, [&](const Tensor& to) { backward(dq, to, dv); });
    expect_same_bits("dv", kv_shape, [&](const Tensor& to) { backward(dq, dk, to); });
  }
}

TEST_F(ThreadsTest, ScratchPlannedForFewerThreadsIsEnough) {
  const Shape shape{1, 700, 2, 8};
  const Floats q = random_floats(shape, 1);
  Floats out(shape), lse({1, 2, 700}), again(shape);
  omp_set_num_threads(1);
  const auto scratch = scratch_of(backend_->attention_forward_scratch(shape, 2, false, 0));
  backend_->attention_forward(stream_, out, lse, scratch, q, q, q);
  omp_set_num_threads(3);
  backend_->attention_forward(stream_, again, lse, scratch, q, q, q);
  EXPECT_EQ(out.values, again.values);
}

TEST_F(ThreadsTest, LighthouseScoresAndRows) {
  const LighthouseShape s{.sequence_length = 2048, .levels = 3, .pooling_factor = 4, .top_k = 64, .tile = 16};
  const Floats x = random_floats({1, 2048, 2, 24}, 1);
  const Shape scores{1, 2, s.scored_entries()};
  Floats s_q(scores), s_k(scores);
  expect_same_bits("norm_scores", scores,
                   [&](const Tensor& out) { backend_->lighthouse_norm_scores(stream_, out, s_k, x, x, s); });
  backend_->lighthouse_norm_scores(stream_, s_q, s_k, x, x, s);
  const Floats qkv = random_floats({1, 2048, 6, 24}, 2), cos = random_floats({2048, 12}, 3);
  expect_same_bits("gather", {1, s.gathered(), 6, 24}, [&](const Tensor& out) {
    const Selected selected(s, 1, 2);
    backend_->lighthouse_select(stream_, selected, s_q, s_k, s);
    backend_->lighthouse_gather(stream_, out, qkv, selected, cos, cos, s);
  });
}

}  // namespace
}  // namespace lighthouse
