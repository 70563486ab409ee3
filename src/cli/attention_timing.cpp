#include "attention_timing.h"

#include <algorithm>

#include "timing.h"

namespace lighthouse {
namespace {

class AttentionAlone {
 public:
  AttentionAlone(Backend& backend, const AttentionShape& shape, int64_t window)
      : backend_(backend), shape_(shape), mask_{window, {}} {
    Arena measuring;
    lay_out(measuring);
    arena_ = Arena(backend.allocate(measuring.used()));
    lay_out(arena_);
    fill_random(backend, qkv_, "qkv");
    fill_random(backend, dout_, "dout");
  }

  void forward() {
    const QkvViews x(qkv_, shape_);
    backend_.attention_forward(backend_.compute_stream(), out_, lse_, scratch_, x.q, x.k, x.v, mask_);
  }
  void backward() {
    const QkvViews x(qkv_, shape_), d(dqkv_, shape_);
    backend_.attention_backward(backend_.compute_stream(), d.q, d.k, d.v, scratch_, dout_, out_, lse_, x.q, x.k, x.v,
                                mask_);
  }

 private:
  void lay_out(Arena& arena) {
    const AttentionShape& s = shape_;
    const Shape heads{s.batch, s.sequence_length, s.heads, s.head_dim};
    const auto take = [&](const Shape& shape, DType dtype) {
      return arena.allocate(MemoryUse::kScratch, shape, dtype);
    };
    for (Tensor* fused : {&qkv_, &dqkv_}) *fused = take({s.batch, s.sequence_length, s.qkv_size()}, backend_.dtype());
    for (Tensor* full : {&out_, &dout_}) *full = take(heads, backend_.dtype());
    lse_ = take({s.batch, s.heads, s.sequence_length}, DType::kFloat32);
    scratch_ = take({std::max(backend_.attention_forward_scratch(heads, s.kv_heads, false, mask_.window),
                              backend_.attention_backward_scratch(heads, s.kv_heads, false, mask_.window))},
                    DType::kUInt8);
  }

  Backend& backend_;
  AttentionShape shape_;
  AttentionMask mask_;
  Arena arena_;
  Tensor qkv_, dqkv_, out_, dout_, lse_, scratch_;
};

}  // namespace

AttentionSeconds time_attention(Backend& backend, const AttentionShape& shape, int64_t repeats, int64_t window) {
  AttentionAlone attention(backend, shape, window);
  AttentionSeconds seconds;
  seconds.forward = seconds_on(backend, repeats, [&] { attention.forward(); });
  seconds.both = seconds_on(backend, repeats, [&] {
    attention.forward();
    attention.backward();
  });
  return seconds;
}

}  // namespace lighthouse
