// The order in which operations run.
#pragma once

#include <memory>
#include <utility>

namespace lighthouse {

/// A queue of operations on one device: those given to the same stream run in order. On the CPU an operation has
/// finished when its function returns, and a stream is only a name.
class Stream {
 public:
  Stream() = default;
  /// Wraps a backend's native handle (on CUDA a cudaStream_t), which must outlive the Stream.
  explicit Stream(void* handle) : handle_(handle) {}
  void* handle() const { return handle_; }

 private:
  void* handle_ = nullptr;
};

/// A point in a stream, made by Backend::record(): reached when all that was given to the stream before it has run. A
/// default one is reached already.
class Event {
 public:
  Event() = default;
  /// Wraps a backend's native event (on CUDA a cudaEvent_t).
  explicit Event(std::shared_ptr<void> handle) : handle_(std::move(handle)) {}
  void* handle() const { return handle_.get(); }

 private:
  std::shared_ptr<void> handle_;
};

/// Operations that were recorded once and can be launched together, on the same tensors, again and again.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual void launch(const Stream& stream) = 0;
};

}  // namespace lighthouse
