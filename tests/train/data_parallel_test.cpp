// Steps of several ranks, each a thread of this process.
#include "lighthouse/train/data_parallel.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <iterator>
#include <limits>
#include <map>
#include <mutex>
#include <set>

#include "lighthouse/dist/partition.h"
#include "lighthouse/train/memory_plan.h"
#include "lighthouse/train/training_step.h"
#include "tiny_run.h"

namespace lighthouse {
namespace {

/// Where the ranks' tensors meet.
class Meeting {
 public:
  explicit Meeting(int size) : tensors_(static_cast<size_t>(size)) {}

  /// Calls `work` on one rank with all tensors when all have come; all leave after it.
  void join_process_group(int rank, const Tensor& tensor, const std::function<void(std::vector<Tensor>&)>& work) {
    std::unique_lock lock(mutex_);
    const int64_t round = round_;
    tensors_[static_cast<size_t>(rank)] = tensor;
    if (++here_ == static_cast<int>(tensors_.size())) {
      work(tensors_);
      here_ = 0;
      ++round_;
      changed_.notify_all();
    }
    changed_.wait(lock, [&] { return round_ != round; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Tensor> tensors_;
  int here_ = 0;
  int64_t round_ = 0;
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(Meeting& meeting, int rank, int size) : meeting_(meeting), rank_(rank), size_(size) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string description() const override { return "threads"; }
  std::unique_ptr<Communicator> split(int, int) override { throw std::logic_error("not used here"); }
  void all_reduce(const Stream&, const Tensor& x) override {
    ++collectives;
    meeting_.join_process_group(rank_, x, [](std::vector<Tensor>& all) {
      if (all[0].dtype() == DType::kFloat64) return sum<double>(all);
      sum<float>(all);
    });
  }
  void reduce_scatter(const Stream& after, const Tensor& x) override {
    all_reduce(after, x);
    const IndexRange mine = shard_range(x.numel(), size_, rank_);  // the rest is undefined
    for (int64_t i = 0; i < x.numel(); ++i) {
      if (i < mine.begin || i >= mine.end) x.data<float>()[i] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  void all_gather(const Stream&, const Tensor& x) override {
    meeting_.join_process_group(rank_, x, [this](std::vector<Tensor>& all) {
      for (int from = 0; from < size_; ++from) {
        const IndexRange piece = shard_range(all[0].numel(), size_, from);
        const float* source = all[static_cast<size_t>(from)].data<float>();
        for (const Tensor& to : all)
          std::copy(source + piece.begin, source + piece.end, to.data<float>() + piece.begin);
      }
    });
  }
  void all_to_all(const Stream&, const Tensor&, const Tensor&) override { throw std::logic_error("not used here"); }
  void broadcast(const Stream&, const Tensor&, int) override { throw std::logic_error("not used here"); }
  void join(const Stream&) override {}
  void wait(const Event&) override {}
  void measure() override {}
  CommunicationCost cost() override { return {}; }

  int64_t collectives = 0;

 private:
  template <typename T>
  static void sum(std::vector<Tensor>& all) {
    for (int64_t i = 0; i < all[0].numel(); ++i) {
      double total = 0;
      for (const Tensor& one : all) total += static_cast<double>(one.data<T>()[i]);
      for (const Tensor& one : all) one.data<T>()[i] = static_cast<T>(total);
    }
  }

  Meeting& meeting_;
  int rank_;
  int size_;
};

/// What a rank came to.
struct Outcome {
  std::vector<StepResult> results;
  std::vector<float> weights;
  int64_t collectives = 0;
  std::string failure;  // of its data
};

class DataParallelTest : public testing::Test {
 protected:
  DataParallelTest() : config_(tiny_run(folder_)) {
    config_.batch = {64, 1, 4};
    config_.distributed.bucket = 0.001;
    resolve_stages(config_);
    write_shard(config_.data.train[0].path, random_tokens(12 * 64 + 1, 257, 1));
  }

  Outcome run_rank(int rank, int size, Communicator* communicator, int steps) const {
    const auto backend = make_cpu_backend();
    RunMemory memory(config_, *backend, Mesh(rank, size));
    Arena arena(planned_bytes(config_, *backend, Mesh(rank, size)));
    memory.lay_out(arena);
    initialize(memory.weights(), config_.model, 42);
    std::unique_ptr<DataParallel> parallel;
    if (communicator != nullptr) parallel = std::make_unique<DataParallel>(memory, *communicator, *backend);
    BatchFeed feed(*backend, memory.largest_batch());
    TrainingStep step(memory, feed, *backend, parallel.get());
    if (rank == broken_rank_) step.set_gradient_hook(broken_gradient(2, 2));
    step.set_stop_request([&] { return rank == stopping_rank_; });
    Loader loader(config_.data.train, 64, config_.model.vocab_size, 42);
    Outcome outcome;
    const IndexRange share = split_evenly(4, size, rank);
    for (int i = 0; i < steps; ++i) {
      loader.next(share.begin, 0, 0, {});
      step.begin(
          memory.training_pass(0, AttentionKind::kDense), config_.batch,
          [&](std::span<int32_t> windows) {
            if (rank == rank_without_data_ && i == 1) throw InputError("a bad token");
            loader.next(1, 0, 1, windows);
          },
          0.02);
      loader.next(4 - share.end, 0, 0, {});
      outcome.results.push_back(step.finish());
    }
    outcome.weights = floats_of(memory.weights().flat);
    try {
      step.check_source();
    } catch (const InputError& error) {
      outcome.failure = error.what();
    }
    return outcome;
  }

  std::vector<Outcome> run(int size, int steps = 3) const {
    Meeting meeting(size);
    std::vector<std::future<Outcome>> ranks;
    for (int rank = 0; rank < size; ++rank) {
      ranks.push_back(std::async(std::launch::async, [&, rank] {
        ThreadCommunicator communicator(meeting, rank, size);
        Outcome outcome = run_rank(rank, size, &communicator, steps);
        outcome.collectives = communicator.collectives;
        return outcome;
      }));
    }
    std::vector<Outcome> outcomes;
    for (auto& rank : ranks) outcomes.push_back(rank.get());
    return outcomes;
  }

  TemporaryFolder folder_;
  RunConfig config_;
  int broken_rank_ = -1;
  int stopping_rank_ = -1;
  int rank_without_data_ = -1;  // at the second step
};

TEST_F(DataParallelTest, RanksDoTogetherWhatOneDoes) {
  const Outcome one = run_rank(0, 1, nullptr, 3);
  for (const int size : {1, 2, 3, 4}) {
    for (const bool sharded : {false, true}) {
      config_.distributed.shard_optimizer = sharded;
      for (const Outcome& rank : run(size)) {
        for (size_t i = 0; i < one.results.size(); ++i) {
          EXPECT_NEAR(rank.results[i].loss, one.results[i].loss, 1e-5) << size << " ranks, step " << i;
          EXPECT_NEAR(rank.results[i].gradient_norm, one.results[i].gradient_norm, 1e-4);
        }
        for (size_t i = 0; i < one.weights.size(); ++i) ASSERT_NEAR(rank.weights[i], one.weights[i], 1e-3);
        EXPECT_EQ(rank.weights, run(size).front().weights) << "all ranks, and every time";
        EXPECT_GT(rank.collectives, 3 * 5) << "in several buckets";
      }
    }
  }
}

TEST_F(DataParallelTest, ANaNOnOneRankIsSkippedByAll) {
  for (const bool sharded : {false, true}) {
    config_.distributed.shard_optimizer = sharded;
    broken_rank_ = 1;
    const std::vector<Outcome> ranks = run(2);
    for (const Outcome& rank : ranks) {
      EXPECT_FALSE(rank.results[0].skipped);
      EXPECT_TRUE(rank.results[1].skipped);
      EXPECT_FALSE(rank.results[2].skipped);
      EXPECT_EQ(rank.weights, ranks[0].weights);
    }
  }
}

TEST_F(DataParallelTest, AStepThatOneRankHasNoDataForIsGivenUpByAllAndSoAreThoseAfterIt) {
  const std::vector<Outcome> first_step = run(3, 1);
  rank_without_data_ = 1;
  for (const bool sharded : {false, true}) {
    config_.distributed.shard_optimizer = sharded;
    const std::vector<Outcome> ranks = run(3, 3);
    for (size_t rank = 0; rank < ranks.size(); ++rank) {
      EXPECT_FALSE(ranks[rank].results[0].abandoned);
      for (const size_t step : {1, 2}) {
        EXPECT_TRUE(ranks[rank].results[step].abandoned);
        EXPECT_TRUE(ranks[rank].results[step].stop);
      }
      EXPECT_EQ(ranks[rank].failure, rank == 1 ? "a bad token" : "");
      for (size_t i = 0; i < ranks[rank].weights.size(); ++i) {
        ASSERT_NEAR(ranks[rank].weights[i], first_step[rank].weights[i], 1e-6) << "only the first step counts";
      }
    }
  }
}

TEST_F(DataParallelTest, TheTokensOfAStepAreTheSameSetForAnyNumberOfRanks) {
  const auto tokens_of_step = [&](int size) {
    std::multiset<std::vector<int32_t>> windows;
    for (int rank = 0; rank < size; ++rank) {
      Loader loader(config_.data.train, 64, config_.model.vocab_size, 42);
      const IndexRange share = split_evenly(7, size, rank);
      for (int step = 0; step < 2; ++step) {  // of the second one
        loader.next(share.begin, 0, 0, {});
        for (int64_t i = share.begin; i < share.end; ++i) {
          std::vector<int32_t> window(65);
          loader.next(1, 0, 1, window);
          if (step == 1) windows.insert(window);
        }
        loader.next(7 - share.end, 0, 0, {});
      }
    }
    return windows;
  };
  const auto alone = tokens_of_step(1);
  EXPECT_EQ(alone.size(), 7U);
  for (const int size : {2, 3, 4, 7}) EXPECT_EQ(tokens_of_step(size), alone) << size;
}

TEST_F(DataParallelTest, OneVoteStopsAll) {
  stopping_rank_ = 2;
  for (const Outcome& rank : run(3, 1)) EXPECT_TRUE(rank.results[0].stop);
  stopping_rank_ = -1;
  for (const Outcome& rank : run(3, 1)) EXPECT_FALSE(rank.results[0].stop);
}

/// The layer at whose announcement a parameter's gradient is complete, told from its name.
int64_t layer_of_name(const std::string& name, int64_t layers) {
  const std::string in_layer = "model.layers.";
  if (name == "model.embed_tokens.weight") return -1;
  return name.starts_with(in_layer) ? std::stoi(name.substr(in_layer.size())) : layers;
}

/// The lowest of those whose parameters, or padding behind them, lie in [begin, end) of the flat vector.
int64_t lowest_layer(const ModelConfig& model, int64_t begin, int64_t end) {
  Arena measuring;
  lay_out_parameters(measuring, MemoryUse::kGradients, model);
  Arena arena(measuring.used());
  const Parameters parameters = lay_out_parameters(arena, MemoryUse::kGradients, model);
  std::map<int64_t, int64_t> layer_at;  // by the place where a parameter begins
  for (const auto& [name, tensor] : hugging_face_views(parameters, model)) {
    layer_at[tensor.data<float>() - parameters.flat.data<float>()] = layer_of_name(name, model.num_hidden_layers);
  }
  auto place = std::prev(layer_at.upper_bound(begin));
  int64_t lowest = place->second;
  for (; place != layer_at.end() && place->first < end; ++place) lowest = std::min(lowest, place->second);
  return lowest;
}

TEST_F(DataParallelTest, BucketsCoverEverythingOnceInTheOrderOfBackward) {
  for (const int size : {1, 2, 3, 16}) {
    for (const double bytes : {1.0, 4096.0, 1e9}) {
      const std::vector<Bucket> buckets = plan_buckets(config_.model, bytes, size);
      std::vector<int> seen(static_cast<size_t>(unsharded(config_.model).numel), 0);
      int64_t layer = config_.model.num_hidden_layers;
      for (const Bucket& bucket : buckets) {
        EXPECT_LE(bucket.layer, layer);
        layer = bucket.layer;
        if (bucket.decays) {
          EXPECT_EQ(bucket.layer, lowest_layer(config_.model, bucket.begin, bucket.end));
        } else {
          EXPECT_EQ(bucket.layer, -1);
        }
        for (int64_t i = bucket.begin; i < bucket.end; ++i) ++seen[static_cast<size_t>(i)];
      }
      EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), std::ssize(seen));
      EXPECT_EQ(buckets.back().layer, -1);
      int64_t held = 0;
      for (int rank = 0; rank < size; ++rank) {
        for (const ShardRange& range : shard_of_buckets(buckets, size, rank).ranges) held += range.size();
      }
      EXPECT_EQ(held, std::ssize(seen));
    }
  }
}

}  // namespace
}  // namespace lighthouse
