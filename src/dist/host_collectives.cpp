#ifdef LIGHTHOUSE_HAS_MPI
#include "host_collectives.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <stdexcept>
#include <thread>

#include "lighthouse/core/bfloat16.h"
#include "lighthouse/dist/partition.h"

namespace lighthouse::dist {
namespace {

MPI_Datatype type_of(const Tensor& x) {
  switch (size_of(x.dtype())) {
    case 8:
      return MPI_UINT64_T;
    case 4:
      return MPI_UINT32_T;
    case 2:
      return MPI_UINT16_T;
    default:
      return MPI_BYTE;
  }
}

template <typename T>
double to_double(T value) {
  return static_cast<double>(value);
}
double to_double(BFloat16 value) {
  return static_cast<float>(value);
}

template <typename T>
void round_to(T& out, double value) {
  out = static_cast<T>(value);
}
void round_to(BFloat16& out, double value) {
  out = to_bfloat16(static_cast<float>(value));
}

/// MPI counts in int.
void check_size(const Tensor& x) {
  if (!x.is_contiguous() || x.numel() > INT_MAX) throw std::logic_error("a tensor that MPI cannot take in one call");
}

/// Sizes and places of all ranks' pieces.
struct Pieces {
  Pieces(int64_t numel, int size) : counts(static_cast<size_t>(size)), places(static_cast<size_t>(size)) {
    for (int r = 0; r < size; ++r) {
      const IndexRange piece = shard_range(numel, size, r);
      counts[static_cast<size_t>(r)] = static_cast<int>(piece.size());
      places[static_cast<size_t>(r)] = static_cast<int>(piece.begin);
    }
  }
  std::vector<int> counts, places;
};

}  // namespace

HostCollectives::HostCollectives(Watch watch) : watch_(std::move(watch)) {
  LIGHTHOUSE_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &world_));
  LIGHTHOUSE_MPI(MPI_Comm_set_errhandler(world_, MPI_ERRORS_RETURN));
  LIGHTHOUSE_MPI(MPI_Comm_rank(world_, &rank_));
  LIGHTHOUSE_MPI(MPI_Comm_size(world_, &size_));
}

// The communicator is not freed: that would wait for ranks that may be gone. MPI_Finalize takes it.
HostCollectives::~HostCollectives() = default;

void HostCollectives::wait(MPI_Request request) {
  using namespace std::chrono_literals;
  // Short ones come soon; for long ones the processor is left to those who compute.
  constexpr int kEager = 200;
  const auto begin = std::chrono::steady_clock::now();
  int done = 0;
  for (int turn = 0;; ++turn) {
    LIGHTHOUSE_MPI(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
    if (done != 0) return;
    if (turn % 16 == 0) watch_(std::chrono::steady_clock::now() - begin);
    turn < kEager ? std::this_thread::yield() : std::this_thread::sleep_for(50us);
  }
}

template <typename T>
void HostCollectives::sum_into(T* piece, int64_t numel) const {
  const T* versions = reinterpret_cast<const T*>(received_.data());
  constexpr int64_t kBlock = 1024;
  std::array<double, kBlock> sums;
  for (int64_t begin = 0; begin < numel; begin += kBlock) {
    const int64_t count = std::min(kBlock, numel - begin);
    std::transform(versions + begin, versions + begin + count, sums.begin(), [](T x) { return to_double(x); });
    for (int r = 1; r < size_; ++r) {
      const T* version = versions + r * numel + begin;
      for (int64_t i = 0; i < count; ++i) sums[static_cast<size_t>(i)] += to_double(version[i]);
    }
    for (int64_t i = 0; i < count; ++i) round_to(piece[begin + i], sums[static_cast<size_t>(i)]);
  }
}

void HostCollectives::reduce_scatter(const Tensor& x) {
  check_size(x);
  const Pieces pieces(x.numel(), size_);
  const IndexRange mine = shard_range(x.numel(), size_, rank_);
  const auto count = static_cast<int>(mine.size());
  std::vector<int> counts(static_cast<size_t>(size_), count), places(static_cast<size_t>(size_));
  for (int r = 0; r < size_; ++r) places[static_cast<size_t>(r)] = r * count;
  received_.resize(std::max(received_.size(), static_cast<size_t>(mine.size() * size_ * size_of(x.dtype()))));
  MPI_Request request = MPI_REQUEST_NULL;
  LIGHTHOUSE_MPI(MPI_Ialltoallv(x.raw(), pieces.counts.data(), pieces.places.data(), type_of(x), received_.data(),
                                counts.data(), places.data(), type_of(x), world_, &request));
  wait(request);
  switch (x.dtype()) {
    case DType::kFloat64:
      return sum_into(x.data<double>() + mine.begin, mine.size());
    case DType::kBFloat16:
      return sum_into(x.data<BFloat16>() + mine.begin, mine.size());
    default:
      return sum_into(x.data<float>() + mine.begin, mine.size());
  }
}

void HostCollectives::all_gather(const Tensor& x) {
  check_size(x);
  const Pieces pieces(x.numel(), size_);
  MPI_Request request = MPI_REQUEST_NULL;
  LIGHTHOUSE_MPI(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, x.raw(), pieces.counts.data(),
                                 pieces.places.data(), type_of(x), world_, &request));
  wait(request);
}

void HostCollectives::all_reduce(const Tensor& x) {
  reduce_scatter(x);
  all_gather(x);
}

void HostCollectives::all_to_all(const Tensor& out, const Tensor& in) {
  check_size(in);
  const auto count = static_cast<int>(in.numel() / size_);
  MPI_Request request = MPI_REQUEST_NULL;
  LIGHTHOUSE_MPI(MPI_Ialltoall(in.raw(), count, type_of(in), out.raw(), count, type_of(out), world_, &request));
  wait(request);
}

void HostCollectives::broadcast(const Tensor& x, int root) {
  check_size(x);
  MPI_Request request = MPI_REQUEST_NULL;
  LIGHTHOUSE_MPI(MPI_Ibcast(x.raw(), static_cast<int>(x.numel()), type_of(x), root, world_, &request));
  wait(request);
}

}  // namespace lighthouse::dist
#endif
