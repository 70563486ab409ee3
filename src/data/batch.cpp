#include "lighthouse/data/batch.h"

#include <algorithm>

namespace lighthouse {

void split_windows(std::span<const int32_t> windows, const Tensor& inputs, const Tensor& targets) {
  const int64_t n = inputs.size(1);
  const int64_t given = static_cast<int64_t>(windows.size()) / (n + 1);
  for (int64_t b = 0; b < inputs.size(0); ++b) {
    int32_t* input = inputs.data<int32_t>() + b * n;
    int32_t* target = targets.data<int32_t>() + b * n;
    if (b >= given) {
      std::fill_n(input, n, 0);
      std::fill_n(target, n, -1);
      continue;
    }
    const int32_t* window = windows.data() + b * (n + 1);
    std::copy_n(window, n, input);
    std::copy_n(window + 1, n, target);
  }
}

BatchFeed::BatchFeed(Backend& backend, int64_t tokens) : backend_(backend) {
  const int64_t bytes = device_bytes(backend, tokens);
  if (bytes == 0) return;
  pinned_ = Arena(backend.allocate_host(bytes));
  staging_ = Arena(backend.allocate(bytes));
  for (Buffer& buffer : buffers_) {
    buffer.host = pinned_.allocate(MemoryUse::kBatch, {2, tokens}, DType::kInt32);
    buffer.device = staging_.allocate(MemoryUse::kBatch, {2, tokens}, DType::kInt32);
  }
}

int64_t BatchFeed::device_bytes(const Backend& backend, int64_t tokens) {
  if (backend.device().kind == DeviceKind::kCpu) return 0;
  Arena measuring;
  for (int i = 0; i < 2; ++i) measuring.allocate(MemoryUse::kBatch, {2, tokens}, DType::kInt32);
  return measuring.used();
}

void BatchFeed::feed(const Stream& stream, const Tensor& inputs, const Tensor& targets,
                     std::span<const int32_t> windows) {
  if (backend_.device().kind == DeviceKind::kCpu) return split_windows(windows, inputs, targets);
  Buffer& buffer = buffers_[next_];
  next_ = 1 - next_;
  const auto part = [&](const Tensor& both, int64_t which) {
    return both.select(0, which).slice(0, 0, inputs.numel()).view(inputs.shape());
  };
  backend_.wait(buffer.copied);  // the host overwrites the buffer from here on
  split_windows(windows, part(buffer.host, 0), part(buffer.host, 1));
  const Stream copies = backend_.upload_stream();
  backend_.wait(copies, buffer.consumed);
  for (int64_t which : {0, 1}) backend_.copy(copies, part(buffer.device, which), part(buffer.host, which));
  buffer.copied = backend_.record(copies);
  backend_.wait(stream, buffer.copied);
  backend_.copy(stream, inputs, part(buffer.device, 0));
  backend_.copy(stream, targets, part(buffer.device, 1));
  buffer.consumed = backend_.record(stream);
}

}  // namespace lighthouse
