// Collectives: operations on tensors of all ranks of a communicator.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/stream.h"

namespace lighthouse {

/// The cost of collectives since the last call of Communicator::cost().
struct CommunicationCost {
  double busy_seconds = 0;     // time during which collectives ran
  double exposed_seconds = 0;  // time during which a stream, or the host, waited for collectives in join()
  int64_t bytes = 0;           // sent by this rank
};

/// Collectives over contiguous tensors of float32, float64 or bfloat16, in the memory of one backend's device. rank()
/// and size() are those within this communicator. All of its ranks make the same calls in the same order. One thread
/// makes all calls, on a communicator and on those split from it.
///
/// A collective starts after all work already enqueued on `after`, runs on the communication stream, and has finished
/// before any work enqueued on a stream after that stream's join(). The caller keeps the tensor alive and does not
/// touch it in between. The order of summation depends on sizes and the number of ranks alone: sums have the same bits
/// on every run and on all ranks.
///
/// Every call throws PeerError if another rank has exited, and RunError if the library fails. After either, no
/// communicator of the process can be used any more, and no work on the device waits for other ranks.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// The library and its version, for logs: "NCCL 2.28.3", "MPI (Open MPI 4.1.4)".
  virtual std::string description() const = 0;

  /// The communicator of those ranks that pass the same `color`; they are numbered by `key`, equal keys by rank()
  /// (MPI_Comm_split). All ranks of this communicator call it, while no collective is running.
  virtual std::unique_ptr<Communicator> split(int color, int key) = 0;

  /// x = the sum of all ranks' x.
  virtual void all_reduce(const Stream& after, const Tensor& x) = 0;
  /// This rank's shard (shard_range) of x = the sum of all ranks' shards. The rest of x is undefined afterwards.
  virtual void reduce_scatter(const Stream& after, const Tensor& x) = 0;
  /// Each rank's shard of x is copied to all ranks.
  virtual void all_gather(const Stream& after, const Tensor& x) = 0;
  /// out and in [size, ...]: row r of `out` = row rank() of rank r's `in`.
  virtual void all_to_all(const Stream& after, const Tensor& out, const Tensor& in) = 0;
  /// x = the x of rank `root`.
  virtual void broadcast(const Stream& after, const Tensor& x, int root) = 0;

  /// Work enqueued on `stream` afterwards starts once all collectives called so far have finished. May block the host.
  virtual void join(const Stream& stream) = 0;
  /// Blocks the host until `event` has happened. Unlike Backend::wait(), throws if a rank exits meanwhile.
  virtual void wait(const Event& event) = 0;

  /// Starts to measure costs.
  virtual void measure() = 0;
  /// The costs of the collectives since measure(), or since the last cost(). After join(). May block the host.
  virtual CommunicationCost cost() = 0;
};

}  // namespace lighthouse
