// The products of linear layers, forward and backward.
#pragma once

#include "lighthouse/core/arena.h"
#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// x [T, I] by weight [O, I]. All products of a pass share one object and its scratch, so they run on one stream.
/// `backend` must outlive it.
class Linear {
 public:
  explicit Linear(Backend& backend) : backend_(backend) {}

  void lay_out_scratch(Arena& arena);

  /// out [T, O] = x weight^T.
  void forward(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& weight) const;
  /// dx [T, I] = dout weight.
  void backward_input(const Stream& stream, const Tensor& dx, const Tensor& dout, const Tensor& weight) const;
  /// dweight [O, I] += dout^T x, float32.
  void backward_weight(const Stream& stream, const Tensor& dweight, const Tensor& dout, const Tensor& x) const;
  /// backward_input(), then backward_weight().
  void backward(const Stream& stream, const Tensor& dx, const Tensor& dweight, const Tensor& dout, const Tensor& x,
                const Tensor& weight) const;

 private:
  Backend& backend_;
  Tensor scratch_;  // bytes
};

}  // namespace lighthouse
