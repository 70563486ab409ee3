// Streams, events and graphs: the order in which operations run.
#pragma once

#include <memory>
#include <utility>

namespace lighthouse {

/// A queue of operations on one device; operations enqueued on the same stream run in order. On the CPU an operation
/// has finished when its function returns, and streams do nothing.
class Stream {
 public:
  Stream() = default;
  /// Wraps a backend's native handle (on CUDA a cudaStream_t), which must outlive the Stream.
  explicit Stream(void* handle) : handle_(handle) {}
  void* handle() const { return handle_; }

 private:
  void* handle_ = nullptr;
};

/// A point in a stream, from DeviceRuntime::record(). It is reached when everything enqueued on the stream before it
/// has run. A default-constructed event is reached.
class Event {
 public:
  Event() = default;
  /// Wraps a backend's native event (on CUDA a cudaEvent_t).
  explicit Event(std::shared_ptr<void> handle) : handle_(std::move(handle)) {}
  void* handle() const { return handle_.get(); }

 private:
  std::shared_ptr<void> handle_;
};

/// Operations that were captured and can be launched together repeatedly, on the same tensors.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual void launch(const Stream& stream) = 0;
};

}  // namespace lighthouse
