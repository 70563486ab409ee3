// Text that a GPU writes is the CPU's, and is the same with and without a cache and a recorded graph.
#include <gtest/gtest.h>

#include <algorithm>

#include "lighthouse/eval/decoding.h"
#include "lighthouse/eval/generator.h"
#include "lighthouse/kernels/cuda.h"
#include "lighthouse/ops/transfer.h"
#include "model/tiny_llama.h"

namespace lighthouse {
namespace {

class GpuGenerate : public testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
    gpu_ = make_cuda_backend({.dtype = GetParam()});
    Arena measuring;
    lay_out(measuring);
    arena_ = Arena(gpu_->allocate(measuring.used()));
    lay_out(arena_);
    upload(*gpu_, master_.flat, cpu_.weights.flat);
    gpu_->copy(gpu_->compute_stream(), weights_.flat, master_.flat);
  }
  void lay_out(Arena& arena) {
    master_ = lay_out_parameters(arena, MemoryUse::kWeights, cpu_.config);
    weights_ = lay_out_parameters(arena, MemoryUse::kWeights, cpu_.config, GetParam());
  }

  static ModelConfig config() {
    ModelConfig config = tiny_config();
    config.hidden_size = 128;  // heads of 32
    config.intermediate_size = 96;
    return config;
  }

  std::unique_ptr<Backend> gpu_;
  TinyLlama cpu_{config(), dense_pass(1, 8)};
  Arena arena_;
  Parameters master_, weights_;
};

TEST_P(GpuGenerate, LogitsEqualThoseOfAPassWithoutACache) {
  std::vector<int32_t> tokens = random_tokens(70, 50, 5);
  Decoding decoding(cpu_.config, weights_, 200, *gpu_);
  decoding.start(tokens);
  PassSettings pass = dense_pass(1, 128);
  ForwardPass whole(cpu_.config, pass, *gpu_);
  const double tolerance = GetParam() == DType::kFloat32 ? 1e-3 : 0.1;
  for (int step = 0; step < 20; ++step) {
    const auto token = static_cast<int32_t>((7 * step + 3) % 50);
    tokens.push_back(token);
    const std::span<const float> cached = decoding.append(token);
    const std::vector<float> expected = whole.next_logits(weights_, tokens);
    double error = 0, norm = 0;
    for (size_t i = 0; i < cached.size(); ++i) {
      error += (cached[i] - expected[i]) * (cached[i] - expected[i]);
      norm += expected[i] * expected[i];
    }
    EXPECT_LE(error, tolerance * tolerance * norm) << "step " << step;
  }
}

TEST_P(GpuGenerate, GreedyTextIsTheSameAgain) {
  SamplingOptions greedy;
  greedy.temperature = 0;
  greedy.max_tokens = 100;
  const auto text = [&](Backend& backend, const Parameters& weights) {
    std::vector<int32_t> tokens;
    generate(cpu_.config, weights, backend, {1, 2, 3}, 64, -1, greedy, [&](int32_t token) { tokens.push_back(token); });
    return tokens;
  };
  const std::vector<int32_t> first = text(*gpu_, weights_);
  EXPECT_EQ(text(*gpu_, weights_), first);
  if (GetParam() == DType::kFloat32) {
    EXPECT_EQ(text(*cpu_.backend, cpu_.weights), first);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, GpuGenerate, testing::Values(DType::kFloat32, DType::kBFloat16));

}  // namespace
}  // namespace lighthouse
