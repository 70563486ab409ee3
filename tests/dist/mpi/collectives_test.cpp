// Collectives by MPI. These tests run in each rank of an mpirun (tests/CMakeLists.txt); what a rank expects follows
// from its number and the number of ranks.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "lighthouse/core/bfloat16.h"
#include "lighthouse/dist/mpi.h"
#include "lighthouse/dist/partition.h"
#include "lighthouse/dist/ranks.h"

namespace lighthouse {
namespace {

class Collectives : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    launch_ = detect_launch(environment_variable, true);
    session_ = start_mpi(launch_);
    group_ = make_single_process_group();  // mpirun notices dead ranks
    backend_ = make_cpu_backend();
    communicator_ = make_mpi_communicator(*group_, *backend_);
  }
  static void TearDownTestSuite() {
    communicator_.reset();
    session_->finish();
    session_.reset();
  }

  int rank() const { return launch_.rank; }
  int size() const { return launch_.size; }
  Stream stream() const { return backend_->compute_stream(); }
  Communicator& world() const { return *communicator_; }

  /// Element i of a rank's input. Sums of 4 ranks are exact in float32.
  static float input(int rank, int64_t i) { return static_cast<float>((rank + 1) * 1000 + i % 997); }
  float sum(int64_t i) const {
    float total = 0;
    for (int r = 0; r < size(); ++r) total += input(r, i);
    return total;
  }
  std::vector<float> own_input(int64_t numel) const {
    std::vector<float> values(static_cast<size_t>(numel));
    for (int64_t i = 0; i < numel; ++i) values[static_cast<size_t>(i)] = input(rank(), i);
    return values;
  }
  template <typename T>
  static Tensor view(std::vector<T>& values, DType dtype) {
    return {values.data(), {std::ssize(values)}, dtype};
  }
  Tensor rows(std::vector<float>& values) const {
    return {values.data(), {size(), std::ssize(values) / size()}, DType::kFloat32};
  }

  /// A mesh of data x 2 context ranks. For an even number of ranks.
  Ranks mesh_ranks() const { return make_ranks(Mesh(rank(), size(), 2), group_, communicator_); }

  /// Less than an element a rank, less than a unit a rank, whole units, and sizes that no number of ranks divides.
  static constexpr std::array<int64_t, 8> kSizes{1, 3, 63, 64, 192, 1000, 4096, 100'003};

  inline static Launch launch_;
  inline static std::unique_ptr<MpiSession> session_;
  inline static std::shared_ptr<ProcessGroup> group_;
  inline static std::unique_ptr<Backend> backend_;
  inline static std::shared_ptr<Communicator> communicator_;
};

TEST_F(Collectives, KnowRankAndSize) {
  EXPECT_EQ(world().rank(), rank());
  EXPECT_EQ(world().size(), size());
  EXPECT_NE(world().description().find("MPI"), std::string::npos);
}

TEST_F(Collectives, AllReduceSumsEverything) {
  for (const int64_t numel : kSizes) {
    std::vector<float> x = own_input(numel);
    world().all_reduce(stream(), view(x, DType::kFloat32));
    world().join(stream());
    for (int64_t i = 0; i < numel; ++i) ASSERT_EQ(x[static_cast<size_t>(i)], sum(i)) << i << " of " << numel;
  }
}

TEST_F(Collectives, SumsOfFloat64AreFloat64) {
  std::vector<double> x{1.0 / 3 * (rank() + 1), rank() == 0 ? std::numeric_limits<double>::quiet_NaN() : 1.0};
  world().all_reduce(stream(), view(x, DType::kFloat64));
  world().join(stream());
  double expected = 0;
  for (int r = 0; r < size(); ++r) expected += 1.0 / 3 * (r + 1);
  EXPECT_EQ(x[0], expected);
  EXPECT_TRUE(std::isnan(x[1])) << "on every rank";
}

TEST_F(Collectives, SumsOfBFloat16AreRoundedOnce) {
  for (const int64_t numel : kSizes) {
    // bfloat16 has no odd numbers above 256: a sum rounded after each rank would lose the ones.
    const auto value = [](int r, int64_t i) {
      return static_cast<float>(r == 0 ? 256 : 1) + static_cast<float>(i % 2);
    };
    std::vector<BFloat16> x(static_cast<size_t>(numel));
    for (int64_t i = 0; i < numel; ++i) x[static_cast<size_t>(i)] = to_bfloat16(value(rank(), i));
    world().all_reduce(stream(), view(x, DType::kBFloat16));
    world().join(stream());
    for (int64_t i = 0; i < numel; ++i) {
      float total = 0;
      for (int r = 0; r < size(); ++r) total += static_cast<float>(to_bfloat16(value(r, i)));
      ASSERT_EQ(x[static_cast<size_t>(i)].bits, to_bfloat16(total).bits) << i << " of " << numel;
    }
  }
}

TEST_F(Collectives, ReduceScatterSumsThisRanksShard) {
  for (const int64_t numel : kSizes) {
    std::vector<float> x = own_input(numel);
    world().reduce_scatter(stream(), view(x, DType::kFloat32));
    world().join(stream());
    const IndexRange shard = shard_range(numel, size(), rank());
    for (int64_t i = shard.begin; i < shard.end; ++i) ASSERT_EQ(x[static_cast<size_t>(i)], sum(i)) << numel;
  }
}

TEST_F(Collectives, AllGatherCopiesEachRanksShard) {
  for (const int64_t numel : kSizes) {
    std::vector<float> x = own_input(numel);
    world().all_gather(stream(), view(x, DType::kFloat32));
    world().join(stream());
    for (int r = 0; r < size(); ++r) {
      const IndexRange shard = shard_range(numel, size(), r);
      for (int64_t i = shard.begin; i < shard.end; ++i) ASSERT_EQ(x[static_cast<size_t>(i)], input(r, i)) << numel;
    }
  }
}

TEST_F(Collectives, AllGatherOfBFloat16) {
  for (const int64_t numel : kSizes) {
    std::vector<uint16_t> x(static_cast<size_t>(numel), static_cast<uint16_t>(0x3f80 + rank()));
    world().all_gather(stream(), view(x, DType::kBFloat16));
    world().join(stream());
    for (int r = 0; r < size(); ++r) {
      const IndexRange shard = shard_range(numel, size(), r);
      for (int64_t i = shard.begin; i < shard.end; ++i) ASSERT_EQ(x[static_cast<size_t>(i)], 0x3f80 + r) << numel;
    }
  }
}

TEST_F(Collectives, AllToAllTransposesRows) {
  for (const int64_t row : kSizes) {
    std::vector<float> in(static_cast<size_t>(row * size())), out(in.size(), -1);
    for (int to = 0; to < size(); ++to) {
      for (int64_t i = 0; i < row; ++i) in[static_cast<size_t>(to * row + i)] = input(rank() * size() + to, i);
    }
    world().all_to_all(stream(), rows(out), rows(in));
    world().join(stream());
    for (int from = 0; from < size(); ++from) {
      for (int64_t i = 0; i < row; ++i) {
        ASSERT_EQ(out[static_cast<size_t>(from * row + i)], input(from * size() + rank(), i)) << row;
      }
    }
  }
}

TEST_F(Collectives, BroadcastCopiesTheRootsTensor) {
  for (const int64_t numel : kSizes) {
    for (int root = 0; root < size(); ++root) {
      std::vector<float> x = own_input(numel);
      world().broadcast(stream(), view(x, DType::kFloat32), root);
      world().join(stream());
      for (int64_t i = 0; i < numel; ++i) ASSERT_EQ(x[static_cast<size_t>(i)], input(root, i)) << numel;
    }
  }
}

TEST_F(Collectives, ManyRunBetweenTwoJoinsAndTheirCostIsCounted) {
  constexpr int64_t kNumel = 64 * 12;
  world().measure();
  std::vector<std::vector<float>> many(20, own_input(kNumel));
  for (auto& x : many) world().all_reduce(stream(), view(x, DType::kFloat32));
  world().join(stream());
  for (const auto& x : many) {
    for (int64_t i = 0; i < kNumel; ++i) ASSERT_EQ(x[static_cast<size_t>(i)], sum(i));
  }
  const CommunicationCost cost = world().cost();
  EXPECT_EQ(cost.bytes, 20 * 2 * 4 * kNumel * (size() - 1) / size());
  EXPECT_GT(cost.busy_seconds, 0);
  EXPECT_GE(cost.exposed_seconds, 0);
}

TEST_F(Collectives, SumsHaveTheSameBitsOnAllRanksAndEveryTime) {
  constexpr int64_t kNumel = 10'007;
  const auto summed = [&] {
    std::vector<float> x(kNumel);
    for (size_t i = 0; i < x.size(); ++i) x[i] = 1.0f / static_cast<float>(3 + i + 7 * static_cast<size_t>(rank()));
    world().all_reduce(stream(), view(x, DType::kFloat32));
    world().join(stream());
    return x;
  };
  const std::vector<float> first = summed();
  for (int again = 0; again < 5; ++again) ASSERT_EQ(summed(), first);
  std::vector<float> of_root = first;
  world().broadcast(stream(), view(of_root, DType::kFloat32), 0);
  world().join(stream());
  EXPECT_EQ(of_root, first);
}

TEST_F(Collectives, SplitNumbersRanksByKey) {
  const auto reversed = world().split(0, -rank());
  EXPECT_EQ(reversed->size(), size());
  EXPECT_EQ(reversed->rank(), size() - 1 - rank());
  std::vector<float> x = own_input(100);
  reversed->broadcast(stream(), view(x, DType::kFloat32), 0);
  reversed->join(stream());
  EXPECT_EQ(x[5], input(size() - 1, 5));
}

TEST_F(Collectives, SplitByColorSumsWithinEachColor) {
  const auto parity = world().split(rank() % 2, 0);
  EXPECT_EQ(parity->rank(), rank() / 2);
  EXPECT_EQ(parity->size(), (size() + 1 - rank() % 2) / 2);
  for (const int64_t numel : kSizes) {
    std::vector<float> x = own_input(numel);
    parity->all_reduce(stream(), view(x, DType::kFloat32));
    parity->join(stream());
    for (int64_t i = 0; i < numel; ++i) {
      float total = 0;
      for (int r = rank() % 2; r < size(); r += 2) total += input(r, i);
      ASSERT_EQ(x[static_cast<size_t>(i)], total) << i << " of " << numel;
    }
  }
}

TEST_F(Collectives, ACommunicatorIsDestroyedWhileItsParentIsInUse) {
  std::vector<float> x = own_input(100'003);
  {
    const auto part = world().split(rank() % 2, rank());
    world().all_reduce(stream(), view(x, DType::kFloat32));
  }
  world().join(stream());
  EXPECT_EQ(x[7], sum(7));
}

TEST_F(Collectives, OfAMeshHaveTheSizeAndRankOfTheirDimension) {
  if (size() % 2 != 0) GTEST_SKIP() << "needs an even number of ranks";
  const Ranks ranks = mesh_ranks();
  EXPECT_EQ(ranks.world->size(), size());
  EXPECT_EQ(ranks.data->size(), ranks.mesh.data_size());
  EXPECT_EQ(ranks.data->rank(), ranks.mesh.data_rank());
  EXPECT_EQ(ranks.context->size(), 2);
  EXPECT_EQ(ranks.context->rank(), ranks.mesh.context_rank());
}

TEST_F(Collectives, OfAMeshSumOverTheirDimension) {
  if (size() % 2 != 0) GTEST_SKIP() << "needs an even number of ranks";
  const Ranks ranks = mesh_ranks();
  constexpr int64_t kNumel = 1000;
  std::vector<float> data = own_input(kNumel), context = own_input(kNumel);
  ranks.data->all_reduce(stream(), view(data, DType::kFloat32));
  ranks.context->all_reduce(stream(), view(context, DType::kFloat32));  // both run before the first join
  ranks.data->join(stream());
  ranks.context->join(stream());
  const int neighbour = rank() % 2 == 0 ? rank() + 1 : rank() - 1;
  for (int64_t i = 0; i < kNumel; ++i) {
    float total = 0;
    for (int r = rank() % 2; r < size(); r += 2) total += input(r, i);
    ASSERT_EQ(data[static_cast<size_t>(i)], total);
    ASSERT_EQ(context[static_cast<size_t>(i)], input(rank(), i) + input(neighbour, i));
  }
}

TEST_F(Collectives, OfAMeshShardByTheSizeOfTheirDimension) {
  if (size() % 2 != 0) GTEST_SKIP() << "needs an even number of ranks";
  const Ranks ranks = mesh_ranks();
  constexpr int64_t kNumel = 1000;
  std::vector<float> x = own_input(kNumel);
  ranks.data->reduce_scatter(stream(), view(x, DType::kFloat32));
  ranks.data->all_gather(stream(), view(x, DType::kFloat32));
  ranks.data->join(stream());
  for (int64_t i = 0; i < kNumel; ++i) {
    float total = 0;
    for (int r = rank() % 2; r < size(); r += 2) total += input(r, i);
    ASSERT_EQ(x[static_cast<size_t>(i)], total);
  }
}

TEST_F(Collectives, OfAMeshExchangeRowsBetweenContextRanks) {
  if (size() % 2 != 0) GTEST_SKIP() << "needs an even number of ranks";
  const Ranks ranks = mesh_ranks();
  std::vector<float> in(2 * 64), out(2 * 64, -1);
  for (int64_t i = 0; i < 128; ++i) in[static_cast<size_t>(i)] = input(rank(), i);
  const auto rows = [](std::vector<float>& x) { return Tensor(x.data(), {2, 64}, DType::kFloat32); };
  ranks.context->all_to_all(stream(), rows(out), rows(in));
  ranks.context->join(stream());
  const int first = rank() / 2 * 2;
  for (int from = 0; from < 2; ++from) {
    for (int64_t i = 0; i < 64; ++i) {
      ASSERT_EQ(out[static_cast<size_t>(from * 64 + i)], input(first + from, rank() % 2 * 64 + i));
    }
  }
}

TEST_F(Collectives, AMeshWithoutContextUsesTheWorld) {
  const Ranks ranks = make_ranks(Mesh(rank(), size()), group_, communicator_);
  EXPECT_EQ(ranks.data, ranks.world);
  EXPECT_EQ(ranks.context, nullptr);
}

}  // namespace
}  // namespace lighthouse
