// Collectives by NCCL.
#include "lighthouse/kernels/nccl.h"

#include "lighthouse/core/error.h"

#ifdef LIGHTHOUSE_HAS_NCCL
#include <fmt/format.h>
#include <nccl.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "lighthouse/dist/partition.h"
#include "nccl_comm.h"
#endif

namespace lighthouse {

#ifdef LIGHTHOUSE_HAS_NCCL
namespace cuda {
namespace {

using namespace std::chrono_literals;

ncclDataType_t type_of(const Tensor& x) {
  switch (x.dtype()) {
    case DType::kFloat32:
      return ncclFloat32;
    case DType::kFloat64:
      return ncclFloat64;
    case DType::kBFloat16:
      return ncclBfloat16;
    default:
      throw std::logic_error("a type that is not sent to other ranks");
  }
}

struct DestroyEvent {
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};
using OwnedEvent = std::unique_ptr<CUevent_st, DestroyEvent>;

OwnedEvent make_event(unsigned flags) {
  cudaEvent_t event = nullptr;
  LIGHTHOUSE_CUDA(cudaEventCreateWithFlags(&event, flags));
  return OwnedEvent(event);
}

float milliseconds(const OwnedEvent& begin, const OwnedEvent& end) {
  float time = 0;
  LIGHTHOUSE_CUDA(cudaEventElapsedTime(&time, begin.get(), end.get()));
  return time;
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(ProcessGroup& group, Backend& backend) : group_(group), backend_(backend), comm_(group) {
    stream_ = native(backend.communication_stream());
    init_world();
    read_rank_and_size();
  }
  NcclCommunicator(NcclCommunicator& parent, int color, int key)
      : group_(parent.group_), backend_(parent.backend_), stream_(parent.stream_), comm_(parent.group_) {
    constexpr const char* kSplit = "ncclCommSplit";
    parent.comm_.settle(ncclCommSplit(parent.comm_.get(), color, key, comm_.address(), nullptr), kSplit);
    comm_.settle(ncclInProgress, kSplit);  // once the parent has accepted the split, the part starts
    read_rank_and_size();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::unique_ptr<Communicator> split(int color, int key) override {
    return std::make_unique<NcclCommunicator>(*this, color, key);
  }
  std::string description() const override {
    int version = 0;
    if (ncclGetVersion(&version) != ncclSuccess) return "NCCL";
    return fmt::format("NCCL {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  }

  void all_reduce(const Stream& after, const Tensor& x) override {
    const size_t count = size_of_call(x);
    run_collective(after, 2 * others(x), "an all-reduce",
                   [&] { return ncclAllReduce(x.raw(), x.raw(), count, type_of(x), ncclSum, comm_.get(), stream_); });
  }
  void reduce_scatter(const Stream& after, const Tensor& x) override;
  void all_gather(const Stream& after, const Tensor& x) override;
  void all_to_all(const Stream& after, const Tensor& out, const Tensor& in) override;
  void broadcast(const Stream& after, const Tensor& x, int root) override {
    const size_t count = size_of_call(x);
    run_collective(after, root == rank() ? x.bytes() : 0, "a broadcast",
                   [&] { return ncclBroadcast(x.raw(), x.raw(), count, type_of(x), root, comm_.get(), stream_); });
  }

  void join(const Stream& stream) override;
  void wait(const Event& event) override;

  void measure() override {
    measuring_ = true;
    cost_ = {};
  }
  CommunicationCost cost() override;

 private:
  /// The begin and end events of a collective, or of a stream's wait in join.
  struct Span {
    OwnedEvent begin, end;
  };

  void init_world();
  void read_rank_and_size();
  template <typename Call>
  void run_collective(const Stream& after, int64_t bytes, const char* what, const Call& call);
  /// One call for each rank's piece, for pieces of unequal sizes. Returns the first failure.
  template <typename Call>
  ncclResult_t for_each_piece(const Tensor& x, const Call& call);
  size_t size_of_call(const Tensor& x) const {
    if (!x.is_contiguous()) throw std::logic_error("a tensor that is not contiguous");
    return static_cast<size_t>(x.numel());
  }
  int64_t others(const Tensor& x) const { return x.bytes() - x.bytes() / size(); }
  bool equal_pieces(const Tensor& x) const { return x.numel() % (size() * kShardAlignment) == 0; }

  ProcessGroup& group_;
  Backend& backend_;
  cudaStream_t stream_ = nullptr;
  NcclComm comm_;
  int rank_ = 0;
  int size_ = 1;
  bool measuring_ = false;
  CommunicationCost cost_;
  std::vector<Span> busy_, joins_;
};

void NcclCommunicator::init_world() {
  ncclUniqueId id{};
  if (group_.is_rank0()) comm_.settle(ncclGetUniqueId(&id), "ncclGetUniqueId");
  const std::string bytes = group_.broadcast({id.internal, sizeof(id.internal)}, "NCCL's id");
  std::copy(bytes.begin(), bytes.end(), id.internal);
  LIGHTHOUSE_CUDA(cudaSetDevice(backend_.device().index));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;  // calls return, so that the exit of a rank is noticed
  comm_.settle(ncclCommInitRankConfig(comm_.address(), group_.size(), id, group_.rank(), &config), "the start of NCCL");
}

void NcclCommunicator::read_rank_and_size() {
  comm_.settle(ncclCommUserRank(comm_.get(), &rank_), "ncclCommUserRank");
  comm_.settle(ncclCommCount(comm_.get(), &size_), "ncclCommCount");
}

void NcclCommunicator::reduce_scatter(const Stream& after, const Tensor& x) {
  size_of_call(x);
  run_collective(after, others(x), "a reduce-scatter", [&] {
    if (!equal_pieces(x)) {
      return for_each_piece(x, [&](void* piece, size_t count, int owner) {
        return ncclReduce(piece, piece, count, type_of(x), ncclSum, owner, comm_.get(), stream_);
      });
    }
    const IndexRange piece = shard_range(x.numel(), size(), rank());
    return ncclReduceScatter(x.raw(), x.slice(0, piece.begin, piece.end).raw(), static_cast<size_t>(piece.size()),
                             type_of(x), ncclSum, comm_.get(), stream_);
  });
}

void NcclCommunicator::all_gather(const Stream& after, const Tensor& x) {
  size_of_call(x);
  run_collective(after, others(x), "an all-gather", [&] {
    if (!equal_pieces(x)) {
      return for_each_piece(x, [&](void* piece, size_t count, int owner) {
        return ncclBroadcast(piece, piece, count, type_of(x), owner, comm_.get(), stream_);
      });
    }
    const IndexRange piece = shard_range(x.numel(), size(), rank());
    return ncclAllGather(x.slice(0, piece.begin, piece.end).raw(), x.raw(), static_cast<size_t>(piece.size()),
                         type_of(x), comm_.get(), stream_);
  });
}

void NcclCommunicator::all_to_all(const Stream& after, const Tensor& out, const Tensor& in) {
  const size_t count = size_of_call(in) / static_cast<size_t>(size());
  const auto row = [&](const Tensor& x, int r) {
    return static_cast<std::byte*>(x.raw()) + static_cast<int64_t>(count) * r * size_of(x.dtype());
  };
  run_collective(after, others(in), "an all-to-all", [&] {
    return comm_.grouped([&] {
      ncclResult_t result = ncclSuccess;
      for (int r = 0; r < size() && !NcclComm::is_failure(result); ++r) {
        result = ncclSend(row(in, r), count, type_of(in), r, comm_.get(), stream_);
        if (NcclComm::is_failure(result)) break;
        result = ncclRecv(row(out, r), count, type_of(out), r, comm_.get(), stream_);
      }
      return result;
    });
  });
}

template <typename Call>
ncclResult_t NcclCommunicator::for_each_piece(const Tensor& x, const Call& call) {
  return comm_.grouped([&] {
    ncclResult_t result = ncclSuccess;
    for (int r = 0; r < size() && !NcclComm::is_failure(result); ++r) {
      const IndexRange piece = shard_range(x.numel(), size(), r);
      if (piece.size() == 0) continue;
      result = call(x.slice(0, piece.begin, piece.end).raw(), static_cast<size_t>(piece.size()), r);
    }
    return result;
  });
}

template <typename Call>
void NcclCommunicator::run_collective(const Stream& after, int64_t bytes, const char* what, const Call& call) {
  comm_.watch(what);
  backend_.wait(Stream(stream_), backend_.record(after));
  Span span;
  if (measuring_) {
    span.begin = make_event(cudaEventDefault);
    LIGHTHOUSE_CUDA(cudaEventRecord(span.begin.get(), stream_));
  }
  comm_.settle(call(), what);
  cost_.bytes += bytes;
  if (!measuring_) return;
  span.end = make_event(cudaEventDefault);
  LIGHTHOUSE_CUDA(cudaEventRecord(span.end.get(), stream_));
  busy_.push_back(std::move(span));
}

void NcclCommunicator::join(const Stream& stream) {
  if (measuring_) {
    Span span{make_event(cudaEventDefault), make_event(cudaEventDefault)};
    LIGHTHOUSE_CUDA(cudaEventRecord(span.begin.get(), native(stream)));
    LIGHTHOUSE_CUDA(cudaEventRecord(span.end.get(), stream_));
    joins_.push_back(std::move(span));
  }
  backend_.wait(stream, backend_.record(Stream(stream_)));
}

void NcclCommunicator::wait(const Event& event) {
  if (event.handle() == nullptr) return;
  const auto native_event = static_cast<cudaEvent_t>(event.handle());
  constexpr const char* kResult = "a step's result";
  const auto begin = std::chrono::steady_clock::now();
  for (int turn = 0;; ++turn) {
    const cudaError_t status = cudaEventQuery(native_event);
    // NCCL ends its kernels when it fails: a reached event does not mean that the sums are complete.
    if (status == cudaSuccess) return comm_.watch(kResult);
    if (status != cudaErrorNotReady) check(status, "cudaEventQuery");
    if (turn % 20 == 0) comm_.watch(kResult, std::chrono::steady_clock::now() - begin);
    std::this_thread::sleep_for(50us);
  }
}

CommunicationCost NcclCommunicator::cost() {
  backend_.wait(Stream(stream_));
  for (const Span& span : busy_) cost_.busy_seconds += 1e-3 * milliseconds(span.begin, span.end);
  for (const Span& span : joins_) {
    LIGHTHOUSE_CUDA(cudaEventSynchronize(span.begin.get()));
    // If the collectives finished first, the stream did not wait.
    cost_.exposed_seconds += std::max(0.0, 1e-3 * milliseconds(span.begin, span.end));
  }
  busy_.clear();
  joins_.clear();
  return std::exchange(cost_, {});
}

}  // namespace
}  // namespace cuda

bool nccl_is_built_in() {
  return true;
}

std::unique_ptr<Communicator> make_nccl_communicator(ProcessGroup& group, Backend& backend) {
  return std::make_unique<cuda::NcclCommunicator>(group, backend);
}

#else

bool nccl_is_built_in() {
  return false;
}

std::unique_ptr<Communicator> make_nccl_communicator(ProcessGroup&, Backend&) {
  throw InputError(
      "this program was built without NCCL; install it (nccl.h and libnccl.so where CMake finds them, or set "
      "NCCL_INCLUDE_DIR and NCCL_LIBRARY) and build again, or use distributed.backend=mpi");
}

#endif

}  // namespace lighthouse
