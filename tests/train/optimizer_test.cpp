// State that depends on the parameter, as Muon has it: one moment for each hidden matrix, AdamW's two for the rest.
#include "lighthouse/train/optimizer.h"

#include <gtest/gtest.h>

#include "tiny_run.h"

namespace lighthouse {
namespace {

class TwoKindsOfState final : public Optimizer {
 public:
  explicit TwoKindsOfState(Backend& backend) : Optimizer({}, backend) {}

  ParameterState state_of(const ParameterSpec& parameter) const override {
    if (parameter.inside != nullptr && parameter.weight_decay) return {{"momentum"}, ShardUnit::kMatrix};
    return {{"exp_avg", "exp_avg_sq"}, ShardUnit::kElement};
  }
  void step(const Stream&, const Parameters&, const Parameters&, const Parameters&, double) override {}

 private:
  void lay_out_scratch(Arena&) override {}
};

class OptimizerStateTest : public testing::Test {
 protected:
  struct State {
    Arena arena;
    std::vector<StateTensor> tensors;
  };

  State state(const OptimizerShard& shard) const {
    Arena measuring;
    optimizer_.lay_out_state(measuring, model_, shard);
    State result{Arena(measuring.used()), {}};
    result.tensors = optimizer_.lay_out_state(result.arena, model_, shard);
    return result;
  }

  /// Each element is its place in the flat vector, counted from 1.
  static void number_elements(const std::vector<StateTensor>& tensors) {
    for (const StateTensor& tensor : tensors) {
      for (const ShardRange& range : tensor.shard.ranges) {
        float* values = range.in_shard(tensor.elements).data<float>();
        for (int64_t i = 0; i < range.size(); ++i) values[i] = static_cast<float>(range.begin + i + 1);
      }
    }
  }

  ModelConfig model_ = tiny_config();
  std::unique_ptr<Backend> backend_ = make_cpu_backend();
  TwoKindsOfState optimizer_{*backend_};
};

TEST_F(OptimizerStateTest, EachTensorHoldsTheParametersThatHaveIt) {
  const State all = state(unsharded(model_));
  ASSERT_EQ(all.tensors.size(), 3U);
  std::map<std::string, int64_t> held;
  for (const StateTensor& tensor : all.tensors) {
    for (const ShardRange& range : tensor.shard.ranges) held[tensor.name] += range.size();
  }
  EXPECT_EQ(held["exp_avg"], held["exp_avg_sq"]);
  EXPECT_EQ(held["exp_avg"] + held["momentum"], unsharded(model_).numel);
  const int64_t places = optimizer_.state_bytes(model_) / 4;
  EXPECT_GT(places, parameter_count(model_));
  EXPECT_LT(places, 2 * parameter_count(model_));
}

TEST_F(OptimizerStateTest, IsSavedWholeAndReadInShards) {
  TemporaryFolder folder;
  const State saved = state(unsharded(model_));
  number_elements(saved.tensors);
  Arena measuring;
  lay_out_parameters(measuring, MemoryUse::kWeights, model_);
  Arena arena(measuring.used());
  const Parameters weights = lay_out_parameters(arena, MemoryUse::kWeights, model_);
  CheckpointState description;
  description.step = 1;
  const auto alone = make_single_process_group();
  const auto path = save_checkpoint(folder.path(), description, weights, saved.tensors, model_, *alone);

  int64_t read = 0;
  constexpr int kRanks = 3;
  for (int rank = 0; rank < kRanks; ++rank) {
    const State shard = state(contiguous_shard(model_, kRanks, rank));
    load_optimizer_state(path, shard.tensors, model_);
    for (size_t i = 0; i < shard.tensors.size(); ++i) {
      const StateTensor& tensor = shard.tensors[i];
      for (const ShardOverlap& common : overlaps(tensor.shard, saved.tensors[i].shard)) {
        const float* values = tensor.elements.data<float>() + common.at_first;
        for (int64_t j = 0; j < common.size(); ++j) {
          if (values[j] == 0) continue;  // padding is not saved
          ASSERT_EQ(values[j], static_cast<float>(common.begin + j + 1)) << tensor.name;
          ++read;
        }
      }
    }
  }
  EXPECT_EQ(read * size_of(DType::kFloat32), optimizer_.state_bytes(model_));
}

TEST_F(OptimizerStateTest, WholeMatricesCannotBeShardedByElement) {
  const std::string message = message_of<InputError>([&] { check_shards_by_element(optimizer_, model_); });
  EXPECT_TRUE(contains(message, "model.layers.0.self_attn.q_proj.weight")) << message;
  EXPECT_NO_THROW(check_shards_by_element(*make_optimizer({}, *backend_), model_));
}

}  // namespace
}  // namespace lighthouse
