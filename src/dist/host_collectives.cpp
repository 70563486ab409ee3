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

/// MPI counts elements as int.
void check_size(const Tensor& x) {
  if (!x.is_contiguous() || x.numel() > INT_MAX) throw std::logic_error("a tensor that MPI cannot send in one call");
}

/// Sizes and offsets of all ranks' shards.
struct Shards {
  Shards(int64_t numel, int size) : counts(static_cast<size_t>(size)), offsets(static_cast<size_t>(size)) {
    for (int r = 0; r < size; ++r) {
      const IndexRange shard = shard_range(numel, size, r);
      counts[static_cast<size_t>(r)] = static_cast<int>(shard.size());
      offsets[static_cast<size_t>(r)] = static_cast<int>(shard.begin);
    }
  }
  std::vector<int> counts, offsets;
};

}  // namespace

HostCollectives::HostCollectives(MPI_Comm comm, Watch watch) : watch_(std::move(watch)), comm_(comm) {
  LIGHTHOUSE_MPI(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN));
  LIGHTHOUSE_MPI(MPI_Comm_rank(comm_, &rank_));
  LIGHTHOUSE_MPI(MPI_Comm_size(comm_, &size_));
}

// MPI_Comm_free would wait for ranks that may have exited; MPI_Finalize frees the communicator.
HostCollectives::~HostCollectives() = default;

MPI_Comm HostCollectives::duplicate_world() {
  MPI_Comm comm = MPI_COMM_NULL;
  LIGHTHOUSE_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &comm));
  return comm;
}

MPI_Comm HostCollectives::split(int color, int key) const {
  MPI_Comm comm = MPI_COMM_NULL;
  LIGHTHOUSE_MPI(MPI_Comm_split(comm_, color, key, &comm));
  return comm;
}

void HostCollectives::wait(MPI_Request request) {
  using namespace std::chrono_literals;
  constexpr int kEager = 200;  // tests without a pause: short collectives end soon, long ones leave the processor
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
void HostCollectives::sum_into(T* shard, int64_t numel) const {
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
    for (int64_t i = 0; i < count; ++i) round_to(shard[begin + i], sums[static_cast<size_t>(i)]);
  }
}

void HostCollectives::reduce_scatter(const Tensor& x) {
  check_size(x);
  const Shards shards(x.numel(), size_);
  const IndexRange own = shard_range(x.numel(), size_, rank_);
  const auto count = static_cast<int>(own.size());
  std::vector<int> counts(static_cast<size_t>(size_), count), offsets(static_cast<size_t>(size_));
  for (int r = 0; r < size_; ++r) offsets[static_cast<size_t>(r)] = r * count;
  received_.resize(std::max(received_.size(), static_cast<size_t>(own.size() * size_ * size_of(x.dtype()))));
  MPI_Request request = MPI_REQUEST_NULL;
  LIGHTHOUSE_MPI(MPI_Ialltoallv(x.raw(), shards.counts.data(), shards.offsets.data(), type_of(x), received_.data(),
                                counts.data(), offsets.data(), type_of(x), comm_, &request));
  wait(request);
  switch (x.dtype()) {
    case DType::kFloat64:
      return sum_into(x.data<double>() + own.begin, own.size());
    case DType::kBFloat16:
      return sum_into(x.data<BFloat16>() + own.begin, own.size());
    default:
      return sum_into(x.data<float>() + own.begin, own.size());
  }
}

void HostCollectives::all_gather(const Tensor& x) {
  check_size(x);
  const Shards shards(x.numel(), size_);
  MPI_Request request = MPI_REQUEST_NULL;
  LIGHTHOUSE_MPI(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, x.raw(), shards.counts.data(),
                                 shards.offsets.data(), type_of(x), comm_, &request));
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
  LIGHTHOUSE_MPI(MPI_Ialltoall(in.raw(), count, type_of(in), out.raw(), count, type_of(out), comm_, &request));
  wait(request);
}

void HostCollectives::broadcast(const Tensor& x, int root) {
  check_size(x);
  MPI_Request request = MPI_REQUEST_NULL;
  LIGHTHOUSE_MPI(MPI_Ibcast(x.raw(), static_cast<int>(x.numel()), type_of(x), root, comm_, &request));
  wait(request);
}

}  // namespace lighthouse::dist
#endif
