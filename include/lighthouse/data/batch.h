// From windows of tokens to what a model is given.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "lighthouse/core/arena.h"
#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// Writes windows of N+1 tokens as inputs (all but the last) and targets (all but the first), int32 [B, N] in host
/// memory. Rows beyond the windows given are filled with token 0 and targets of -1, which have no loss.
void split_windows(std::span<const int32_t> windows, const Tensor& inputs, const Tensor& targets);

/// Brings batches to the device while it still computes on those before: two buffers in turn, filled by the host and
/// copied on a stream of their own. Where the host is the device, the tokens are written in their place.
class BatchFeed {
 public:
  /// For batches of up to `tokens` tokens. `backend` must outlive it. Throws InputError if there is no memory.
  BatchFeed(Backend& backend, int64_t tokens);

  /// Gives inputs and targets (int32 [B, N], on the device) these windows before whatever `stream` is given next. Waits
  /// only if both buffers are still on their way.
  void feed(const Stream& stream, const Tensor& inputs, const Tensor& targets, std::span<const int32_t> windows);

  /// Bytes of device memory, and of pinned host memory, that it takes.
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
