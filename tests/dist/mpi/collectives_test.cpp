// Collectives by MPI. These tests run in each rank of an mpirun (tests/CMakeLists.txt); what a rank expects follows
// from its number alone.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "lighthouse/core/bfloat16.h"
#include "lighthouse/dist/mpi.h"
#include "lighthouse/dist/partition.h"

namespace lighthouse {
namespace {

class Collectives : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    launch_ = detect_launch(environment_variable, true);
    session_ = start_mpi(launch_);
    group_ = make_single_process_group();  // who lives is mpirun's business here
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
  Communicator& ranks() const { return *communicator_; }

  /// Element i of what a rank brings: sums of 4 ranks are exact in float32.
  static float brought(int rank, int64_t i) { return static_cast<float>((rank + 1) * 1000 + i % 997); }
  float sum(int64_t i) const {
    float total = 0;
    for (int r = 0; r < size(); ++r) total += brought(r, i);
    return total;
  }
  std::vector<float> mine(int64_t numel) const {
    std::vector<float> values(static_cast<size_t>(numel));
    for (int64_t i = 0; i < numel; ++i) values[static_cast<size_t>(i)] = brought(rank(), i);
    return values;
  }
  template <typename T>
  static Tensor view(std::vector<T>& values, DType dtype) {
    return {values.data(), {std::ssize(values)}, dtype};
  }
  Tensor rows(std::vector<float>& values) const {
    return {values.data(), {size(), std::ssize(values) / size()}, DType::kFloat32};
  }

  /// Fewer than ranks, less than a unit a rank, whole units, and sizes that no number of ranks divides.
  static constexpr std::array<int64_t, 8> kSizes{1, 3, 63, 64, 192, 1000, 4096, 100'003};

  inline static Launch launch_;
  inline static std::unique_ptr<MpiSession> session_;
  inline static std::unique_ptr<ProcessGroup> group_;
  inline static std::unique_ptr<Backend> backend_;
  inline static std::unique_ptr<Communicator> communicator_;
};

TEST_F(Collectives, KnowTheirPlace) {
  EXPECT_EQ(ranks().rank(), rank());
  EXPECT_EQ(ranks().size(), size());
  EXPECT_NE(ranks().description().find("MPI"), std::string::npos);
}

TEST_F(Collectives, AllReduceSumsEverything) {
  for (const int64_t numel : kSizes) {
    std::vector<float> x = mine(numel);
    ranks().all_reduce(stream(), view(x, DType::kFloat32));
    ranks().join(stream());
    for (int64_t i = 0; i < numel; ++i) ASSERT_EQ(x[static_cast<size_t>(i)], sum(i)) << i << " of " << numel;
  }
}

TEST_F(Collectives, SumsOfFloat64KeepTheirDigits) {
  std::vector<double> x{1.0 / 3 * (rank() + 1), rank() == 0 ? std::numeric_limits<double>::quiet_NaN() : 1.0};
  ranks().all_reduce(stream(), view(x, DType::kFloat64));
  ranks().join(stream());
  double expected = 0;
  for (int r = 0; r < size(); ++r) expected += 1.0 / 3 * (r + 1);
  EXPECT_EQ(x[0], expected);
  EXPECT_TRUE(std::isnan(x[1])) << "on every rank";
}

TEST_F(Collectives, SumsOfBFloat16AreRoundedOnce) {
  for (const int64_t numel : kSizes) {
    // Next to 256 a bfloat16 has no odd numbers: a sum that was rounded after each rank would lose the ones.
    const auto brings = [](int r, int64_t i) {
      return static_cast<float>(r == 0 ? 256 : 1) + static_cast<float>(i % 2);
    };
    std::vector<BFloat16> x(static_cast<size_t>(numel));
    for (int64_t i = 0; i < numel; ++i) x[static_cast<size_t>(i)] = to_bfloat16(brings(rank(), i));
    ranks().all_reduce(stream(), view(x, DType::kBFloat16));
    ranks().join(stream());
    for (int64_t i = 0; i < numel; ++i) {
      float total = 0;
      for (int r = 0; r < size(); ++r) total += static_cast<float>(to_bfloat16(brings(r, i)));
      ASSERT_EQ(x[static_cast<size_t>(i)].bits, to_bfloat16(total).bits) << i << " of " << numel;
    }
  }
}

TEST_F(Collectives, ReduceScatterSumsThisRanksPiece) {
  for (const int64_t numel : kSizes) {
    std::vector<float> x = mine(numel);
    ranks().reduce_scatter(stream(), view(x, DType::kFloat32));
    ranks().join(stream());
    const IndexRange piece = shard_range(numel, size(), rank());
    for (int64_t i = piece.begin; i < piece.end; ++i) ASSERT_EQ(x[static_cast<size_t>(i)], sum(i)) << numel;
  }
}

TEST_F(Collectives, AllGatherBringsEachRanksPiece) {
  for (const int64_t numel : kSizes) {
    std::vector<float> x = mine(numel);
    ranks().all_gather(stream(), view(x, DType::kFloat32));
    ranks().join(stream());
    for (int r = 0; r < size(); ++r) {
      const IndexRange piece = shard_range(numel, size(), r);
      for (int64_t i = piece.begin; i < piece.end; ++i) ASSERT_EQ(x[static_cast<size_t>(i)], brought(r, i)) << numel;
    }
  }
}

TEST_F(Collectives, AllGatherOfTwoBytes) {
  for (const int64_t numel : kSizes) {
    std::vector<uint16_t> x(static_cast<size_t>(numel), static_cast<uint16_t>(0x3f80 + rank()));
    ranks().all_gather(stream(), view(x, DType::kBFloat16));
    ranks().join(stream());
    for (int r = 0; r < size(); ++r) {
      const IndexRange piece = shard_range(numel, size(), r);
      for (int64_t i = piece.begin; i < piece.end; ++i) ASSERT_EQ(x[static_cast<size_t>(i)], 0x3f80 + r) << numel;
    }
  }
}

TEST_F(Collectives, AllToAllTransposesRows) {
  for (const int64_t row : kSizes) {
    std::vector<float> in(static_cast<size_t>(row * size())), out(in.size(), -1);
    for (int to = 0; to < size(); ++to) {
      for (int64_t i = 0; i < row; ++i) in[static_cast<size_t>(to * row + i)] = brought(rank() * size() + to, i);
    }
    ranks().all_to_all(stream(), rows(out), rows(in));
    ranks().join(stream());
    for (int from = 0; from < size(); ++from) {
      for (int64_t i = 0; i < row; ++i) {
        ASSERT_EQ(out[static_cast<size_t>(from * row + i)], brought(from * size() + rank(), i)) << row;
      }
    }
  }
}

TEST_F(Collectives, BroadcastBringsTheRootsToAll) {
  for (const int64_t numel : kSizes) {
    for (int root = 0; root < size(); ++root) {
      std::vector<float> x = mine(numel);
      ranks().broadcast(stream(), view(x, DType::kFloat32), root);
      ranks().join(stream());
      for (int64_t i = 0; i < numel; ++i) ASSERT_EQ(x[static_cast<size_t>(i)], brought(root, i)) << numel;
    }
  }
}

TEST_F(Collectives, ManyAreUnderWayAtOnceAndTheirCostIsCounted) {
  constexpr int64_t kNumel = 64 * 12;
  ranks().measure();
  std::vector<std::vector<float>> many(20, mine(kNumel));
  for (auto& x : many) ranks().all_reduce(stream(), view(x, DType::kFloat32));
  ranks().join(stream());
  for (const auto& x : many) {
    for (int64_t i = 0; i < kNumel; ++i) ASSERT_EQ(x[static_cast<size_t>(i)], sum(i));
  }
  const CommunicationCost cost = ranks().cost();
  EXPECT_EQ(cost.bytes, 20 * 2 * 4 * kNumel * (size() - 1) / size());
  EXPECT_GT(cost.busy_seconds, 0);
  EXPECT_GE(cost.exposed_seconds, 0);
}

TEST_F(Collectives, SumsHaveTheSameBitsOnAllRanksAndEveryTime) {
  constexpr int64_t kNumel = 10'007;
  const auto summed = [&] {
    std::vector<float> x(kNumel);
    for (size_t i = 0; i < x.size(); ++i) x[i] = 1.0f / static_cast<float>(3 + i + 7 * static_cast<size_t>(rank()));
    ranks().all_reduce(stream(), view(x, DType::kFloat32));
    ranks().join(stream());
    return x;
  };
  const std::vector<float> first = summed();
  for (int again = 0; again < 5; ++again) ASSERT_EQ(summed(), first);
  std::vector<float> of_root = first;
  ranks().broadcast(stream(), view(of_root, DType::kFloat32), 0);
  ranks().join(stream());
  EXPECT_EQ(of_root, first);
}

}  // namespace
}  // namespace lighthouse
