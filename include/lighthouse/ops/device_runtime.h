// A device's memory, and the order in which its operations run.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "lighthouse/core/memory.h"
#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/operation.h"
#include "lighthouse/ops/stream.h"

namespace lighthouse {

/// What a device offers according to its data sheet; 0 where that is not known.
struct Hardware {
  std::string name;
  int64_t memory_bytes = 0;     // available to a run
  double flops = 0;             // per second, in matrix products of the backend's dtype()
  double bytes_per_second = 0;  // of device memory
};

/// A device: its memory and its streams.
///
/// Threads: any thread may call any of these functions, and several at a time on different streams. Order: operations
/// enqueued on one stream run in that order. An operation may still run when its function returns: the host waits for
/// the stream before it reads what was written.
///
/// The default streams and events are those of a device on which each operation has finished when its function returns.
class DeviceRuntime : public virtual OperationSet {
 public:
  virtual ~DeviceRuntime() = default;

  virtual Device device() const = 0;
  /// The type of activations and of the weights that operations use with them: float32 or bfloat16.
  virtual DType dtype() const = 0;
  /// Device, library versions and instruction set, as checkpoints record them.
  virtual std::string description() const = 0;
  virtual Hardware hardware() const = 0;
  /// Bytes of device memory in use, by all processes on a GPU and by this one on a CPU.
  virtual int64_t memory_in_use() const = 0;

  /// Zeroed device memory. Throws InputError if there is not enough.
  virtual Memory allocate(int64_t bytes) = 0;
  /// Zeroed host memory, pinned if the device copies faster from pinned memory. Throws InputError if there is not
  /// enough.
  virtual Memory allocate_host(int64_t bytes) = 0;

  /// All elements of `out` (contiguous) become `value`.
  void fill(const Stream& stream, const Tensor& out, float value);
  /// out = in; both contiguous, with equally many elements. On one device, float32 and bfloat16 are converted to each
  /// other; between host and device the types must be equal. Host memory must stay allocated and unchanged until the
  /// copy has run.
  void copy(const Stream& stream, const Tensor& out, const Tensor& in);

  /// The stream of a run's operations.
  virtual Stream compute_stream() { return {}; }
  /// Streams for copies to the device and from it, and for communication with other ranks. They run beside the compute
  /// stream.
  virtual Stream upload_stream() { return {}; }
  virtual Stream download_stream() { return {}; }
  virtual Stream communication_stream() { return {}; }

  /// The event that is reached when everything enqueued on `stream` so far has run.
  virtual Event record(const Stream& /*stream*/) { return {}; }
  /// Makes everything that is enqueued on `stream` later wait for `event`.
  virtual void wait(const Stream& /*stream*/, const Event& /*event*/) {}
  /// Blocks the host until `event` is reached, or until `stream` is empty. Throws RunError if an operation failed.
  virtual void wait(const Event& /*event*/) {}
  virtual void wait(const Stream& /*stream*/) {}
  /// Calls `work` and records what it enqueues on `stream` without running it. Returns null, without a call of `work`,
  /// if the device cannot record, or if the backend is observed: an observer has to see every launch.
  std::unique_ptr<Graph> capture(const Stream& stream, const std::function<void()>& work);

 private:
  virtual void do_fill(const Stream&, const Tensor&, float) { not_implemented(__func__); }
  virtual void do_copy(const Stream&, const Tensor&, const Tensor&) { not_implemented(__func__); }
  virtual std::unique_ptr<Graph> do_capture(const Stream&, const std::function<void()>&) { return nullptr; }
};

}  // namespace lighthouse
