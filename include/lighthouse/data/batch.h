// Batches: windows of tokens as a model's inputs and targets, on the device.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "lighthouse/core/arena.h"
#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// Writes windows of N+1 tokens as inputs (all but the last token) and targets (all but the first), int32 [B, N] in
/// host memory. Rows beyond the given windows get token 0 as input and -1 as target, which has no loss.
void split_windows(std::span<const int32_t> windows, const Tensor& inputs, const Tensor& targets);

/// Uploads batches while the device still computes on earlier ones: two pinned host buffers in turn, copied on the
/// backend's upload stream. On the CPU the tokens are written in place. Not thread-safe.
class BatchFeed {
 public:
  /// For batches of at most `tokens` tokens. `backend` must outlive the feed. Throws InputError if memory cannot be
  /// allocated.
  BatchFeed(Backend& backend, int64_t tokens);

  /// Writes the windows to `inputs` and `targets` (int32 [B, N], on the device) before any work enqueued on `stream`
  /// after this call. Blocks only while both buffers are still being copied.
  void feed(const Stream& stream, const Tensor& inputs, const Tensor& targets, std::span<const int32_t> windows);

  /// The bytes that a feed allocates in device memory, and the same number in pinned host memory.
  static int64_t device_bytes(const Backend& backend, int64_t tokens);

 private:
  struct Buffer {
    Tensor host, device;  // int32 [2, tokens]: inputs, then targets
    Event copied, consumed;
  };

  Backend& backend_;
  Arena pinned_, staging_;
  std::array<Buffer, 2> buffers_;
  size_t next_ = 0;
};

}  // namespace lighthouse
