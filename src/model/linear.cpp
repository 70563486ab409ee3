#include "lighthouse/model/linear.h"

namespace lighthouse {

void Linear::lay_out_scratch(Arena& arena) {
  scratch_ = arena.allocate(MemoryUse::kScratch, {backend_.linear_scratch()}, DType::kUInt8);
}

void Linear::forward(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& weight) const {
  backend_.linear_forward(stream, out, scratch_, x, weight);
}

void Linear::backward_input(const Stream& stream, const Tensor& dx, const Tensor& dout, const Tensor& weight) const {
  backend_.linear_backward_input(stream, dx, scratch_, dout, weight);
}

void Linear::backward_weight(const Stream& stream, const Tensor& dweight, const Tensor& dout, const Tensor& x) const {
  backend_.linear_backward_weight(stream, dweight, scratch_, dout, x);
}

void Linear::backward(const Stream& stream, const Tensor& dx, const Tensor& dweight, const Tensor& dout,
                      const Tensor& x, const Tensor& weight) const {
  backward_input(stream, dx, dout, weight);
  backward_weight(stream, dweight, dout, x);
}

}  // namespace lighthouse
