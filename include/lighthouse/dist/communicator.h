// Tensors among ranks.
#pragma once

#include <cstdint>
#include <string>

#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/stream.h"

namespace lighthouse {

/// What communication took, since it was last asked.
struct CommunicationCost {
  double busy_seconds = 0;     // that collectives were under way
  double exposed_seconds = 0;  // of these, the ones that join() kept a stream (or the host) waiting
  int64_t bytes = 0;           // that this rank sent
};

/// Collectives over contiguous tensors of float32, float64 or bfloat16, on the device of whoever made it. All ranks
/// make the same calls in the same order, from one thread.
///
/// A collective begins when `after` has come to where it is now, runs beside that stream, and is done when a stream
/// that has joined comes by. The tensor lives, and is left alone, until then. Sums are made in an order that follows
/// from sizes and the number of ranks alone, so that they have the same bits on every run; and on all ranks.
///
/// All throw PeerError when another rank is gone, RunError when the library fails. After that nothing more can be done
/// with it, and nothing on the device waits for other ranks any longer.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// "NCCL 2.28.3", "MPI (Open MPI 4.1.4)": recorded and said at the start.
  virtual std::string description() const = 0;

  /// x = the sum of all ranks' x.
  virtual void all_reduce(const Stream& after, const Tensor& x) = 0;
  /// This rank's piece (piece_of) of x = the sum of all ranks'. The rest of x is left undefined.
  virtual void reduce_scatter(const Stream& after, const Tensor& x) = 0;
  /// Each rank's piece of x is brought to all.
  virtual void all_gather(const Stream& after, const Tensor& x) = 0;
  /// out [size, ...]: row r is what rank r had in row `rank()` of its `in`.
  virtual void all_to_all(const Stream& after, const Tensor& out, const Tensor& in) = 0;
  /// x = rank root's.
  virtual void broadcast(const Stream& after, const Tensor& x, int root) = 0;

  /// What `stream` is given from now on waits for the collectives begun so far.
  virtual void join(const Stream& stream) = 0;
  /// The host waits for what it has recorded, as long as all ranks live.
  virtual void wait(const Event& event) = 0;

  /// From now on costs are counted.
  virtual void measure() = 0;
  virtual CommunicationCost cost() = 0;
};

}  // namespace lighthouse
