// The order in which operations run.
#pragma once

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

}  // namespace lighthouse
