#include "lighthouse/ops/model_operations.h"

#include <algorithm>

#include "lighthouse/ops/check.h"

namespace lighthouse {
namespace {

/// The rows of an embedding [V, C] that T tokens touch. The tokens are not known, so all of them are taken to differ.
Tensor touched_rows(const Tensor& weight, const Tensor& tokens) {
  return weight.slice(0, 0, std::min(weight.size(0), tokens.numel()));
}

void check_embedding(const char* operation, const Tensor& weight, const Tensor& rows, const Tensor& tokens) {
  require(rows.rank() == 2 && weight.rank() == 2 && weight.size(1) == rows.size(1) && tokens.numel() == rows.size(0) &&
              contiguous(weight, rows, tokens) && is_activation_type(rows.dtype()) && have_dtype(DType::kInt32, tokens),
          operation, {&weight, &rows, &tokens});
}

/// out [T, O] = x [T, I] weight [O, I]^T, or the gradients of out and x in their place.
void check_linear(const char* operation, const Tensor& out, const Tensor& x, const Tensor& weight, DType weight_type) {
  require(out.rank() == 2 && x.rank() == 2 && out.size(0) == x.size(0) &&
              have_shape({out.size(1), x.size(1)}, weight) && contiguous(out, x, weight) &&
              is_activation_type(x.dtype()) && have_dtype(x.dtype(), out) && have_dtype(weight_type, weight),
          operation, {&out, &x, &weight});
}

/// Each of the linear layer's products multiplies T I O pairs.
double linear_flops(const Tensor& x, const Tensor& weight) {
  return 2 * static_cast<double>(x.numel()) * static_cast<double>(weight.size(0));
}

void check_swiglu(const char* operation, const Tensor& out, const Tensor& gate_up) {
  require(out.rank() == 2 && have_shape({out.size(0), 2 * out.size(1)}, gate_up) && contiguous(out, gate_up) &&
              is_activation_type(out.dtype()) && have_dtype(out.dtype(), gate_up),
          operation, {&out, &gate_up});
}

void check_rope(const char* operation, const Tensor& x, const Tensor& cos, const Tensor& sin) {
  require(has_heads(x) && x.size(3) % 2 == 0 && have_shape({x.size(1), x.size(3) / 2}, cos, sin) &&
              contiguous(cos, sin) && is_activation_type(x.dtype()) && have_dtype(DType::kFloat32, cos, sin),
          operation, {&x, &cos, &sin});
}

void check_cross_entropy(const char* operation, const Tensor& losses, const Tensor& logits, const Tensor& targets,
                         int64_t vocab_size) {
  require(logits.rank() == 2 && losses.numel() == logits.size(0) && targets.numel() == logits.size(0) &&
              vocab_size > 0 && vocab_size <= logits.size(1) && contiguous(losses, logits, targets) &&
              is_activation_type(logits.dtype()) && have_dtype(DType::kFloat32, losses) &&
              have_dtype(DType::kInt32, targets),
          operation, {&losses, &logits, &targets});
}

}  // namespace

// ---- Embedding ----

void ModelOperations::embedding_forward(const Stream& stream, const Tensor& out, const Tensor& weight,
                                        const Tensor& tokens) {
  check_embedding("embedding_forward", weight, out, tokens);
  require(have_dtype(out.dtype(), weight), "embedding_forward", {&weight, &out, &tokens});
  const auto describe = [&] {
    return Operation{.kind = "embedding forward", .writes = {out}, .reads = {touched_rows(weight, tokens), tokens}};
  };
  run(stream, describe, [&] { do_embedding_forward(stream, out, weight, tokens); });
}

void ModelOperations::embedding_backward(const Stream& stream, const Tensor& dweight, const Tensor& scratch,
                                         const Tensor& dout, const Tensor& tokens) {
  check_embedding("embedding_backward", dweight, dout, tokens);
  require(
      have_dtype(DType::kFloat32, dweight) && scratch.bytes() >= embedding_backward_scratch(dout.size(0), dout.size(1)),
      "embedding_backward", {&dweight, &scratch, &dout, &tokens});
  const auto describe = [&] {
    return Operation{.kind = "embedding backward", .reads = {dout, tokens}, .updates = {touched_rows(dweight, tokens)}};
  };
  run(stream, describe, [&] { do_embedding_backward(stream, dweight, scratch, dout, tokens); });
}

// ---- RMSNorm ----

void ModelOperations::rmsnorm_forward(const Stream& stream, const Tensor& out, const Tensor& rstd, const Tensor& x,
                                      const Tensor& weight, double epsilon) {
  require(x.rank() == 2 && have_shape(x.shape(), out) && have_shape({x.size(0)}, rstd) &&
              have_shape({x.size(1)}, weight) && contiguous(out, rstd, x, weight) && is_activation_type(x.dtype()) &&
              have_dtype(x.dtype(), out, weight) && have_dtype(DType::kFloat32, rstd),
          "rmsnorm_forward", {&out, &rstd, &x, &weight});
  const auto describe = [&] {
    return Operation{.kind = "rmsnorm forward", .writes = {out, rstd}, .reads = {x, weight}};
  };
  run(stream, describe, [&] { do_rmsnorm_forward(stream, out, rstd, x, weight, epsilon); });
}

void ModelOperations::rmsnorm_residual_forward(const Stream& stream, const Tensor& sum, const Tensor& out,
                                               const Tensor& rstd, const Tensor& residual, const Tensor& x,
                                               const Tensor& weight, double epsilon) {
  require(x.rank() == 2 && have_shape(x.shape(), sum, out, residual) && have_shape({x.size(0)}, rstd) &&
              have_shape({x.size(1)}, weight) && contiguous(sum, out, rstd, residual, x, weight) &&
              is_activation_type(x.dtype()) && have_dtype(x.dtype(), sum, out, residual, weight) &&
              have_dtype(DType::kFloat32, rstd),
          "rmsnorm_residual_forward", {&sum, &out, &rstd, &residual, &x, &weight});
  const auto describe = [&] {
    return Operation{.kind = "rmsnorm forward", .writes = {sum, out, rstd}, .reads = {residual, x, weight}};
  };
  run(stream, describe, [&] { do_rmsnorm_residual_forward(stream, sum, out, rstd, residual, x, weight, epsilon); });
}

void ModelOperations::rmsnorm_backward(const Stream& stream, const Tensor& dx, const Tensor& dweight,
                                       const Tensor& scratch, const Tensor& dout, const Tensor& x, const Tensor& weight,
                                       const Tensor& rstd) {
  require(x.rank() == 2 && have_shape(x.shape(), dx, dout) && have_shape({x.size(0)}, rstd) &&
              have_shape({x.size(1)}, weight, dweight) && contiguous(dx, dweight, dout, x, weight, rstd) &&
              is_activation_type(x.dtype()) && have_dtype(x.dtype(), dx, dout, weight) &&
              have_dtype(DType::kFloat32, dweight, rstd) &&
              scratch.bytes() >= rmsnorm_backward_scratch(x.size(0), x.size(1)),
          "rmsnorm_backward", {&dx, &dweight, &scratch, &dout, &x, &weight, &rstd});
  const auto describe = [&] {
    return Operation{.kind = "rmsnorm backward", .reads = {dout, x, weight, rstd}, .updates = {dx, dweight}};
  };
  run(stream, describe, [&] { do_rmsnorm_backward(stream, dx, dweight, scratch, dout, x, weight, rstd); });
}

// ---- Linear layer ----

void ModelOperations::linear_forward(const Stream& stream, const Tensor& out, const Tensor& scratch, const Tensor& x,
                                     const Tensor& weight) {
  check_linear("linear_forward", out, x, weight, x.dtype());
  const auto describe = [&] {
    return Operation{.kind = "matrix products forward",
                     .work = Work::kProduct,
                     .flops = linear_flops(x, weight),
                     .writes = {out},
                     .reads = {x, weight}};
  };
  run(stream, describe, [&] { do_linear_forward(stream, out, scratch, x, weight); });
}

void ModelOperations::linear_backward_input(const Stream& stream, const Tensor& dx, const Tensor& scratch,
                                            const Tensor& dout, const Tensor& weight) {
  check_linear("linear_backward_input", dout, dx, weight, dx.dtype());
  const auto describe = [&] {
    return Operation{.kind = "matrix products backward input",
                     .work = Work::kProduct,
                     .flops = linear_flops(dx, weight),
                     .writes = {dx},
                     .reads = {dout, weight}};
  };
  run(stream, describe, [&] { do_linear_backward_input(stream, dx, scratch, dout, weight); });
}

void ModelOperations::linear_backward_weight(const Stream& stream, const Tensor& dweight, const Tensor& scratch,
                                             const Tensor& dout, const Tensor& x) {
  check_linear("linear_backward_weight", dout, x, dweight, DType::kFloat32);
  const auto describe = [&] {
    return Operation{.kind = "matrix products backward weight",
                     .work = Work::kProduct,
                     .flops = linear_flops(x, dweight),
                     .reads = {dout, x},
                     .updates = {dweight}};
  };
  run(stream, describe, [&] { do_linear_backward_weight(stream, dweight, scratch, dout, x); });
}

// ---- SwiGLU ----

void ModelOperations::swiglu_forward(const Stream& stream, const Tensor& out, const Tensor& gate_up) {
  check_swiglu("swiglu_forward", out, gate_up);
  const auto describe = [&] { return Operation{.kind = "swiglu forward", .writes = {out}, .reads = {gate_up}}; };
  run(stream, describe, [&] { do_swiglu_forward(stream, out, gate_up); });
}

void ModelOperations::swiglu_backward(const Stream& stream, const Tensor& dgate_up, const Tensor& out,
                                      const Tensor& dout, const Tensor& gate_up) {
  check_swiglu("swiglu_backward", out, gate_up);
  check_swiglu("swiglu_backward", dout, gate_up);
  check_swiglu("swiglu_backward", dout, dgate_up);
  const auto describe = [&] {
    return Operation{.kind = "swiglu backward", .writes = {dgate_up, out}, .reads = {dout, gate_up}};
  };
  run(stream, describe, [&] { do_swiglu_backward(stream, dgate_up, out, dout, gate_up); });
}

// ---- Rotary position embedding ----

void ModelOperations::rope_table(const Stream& stream, const Tensor& cos, const Tensor& sin, const RopeSettings& rope) {
  require(
      cos.rank() == 2 && have_shape(cos.shape(), sin) && contiguous(cos, sin) && have_dtype(DType::kFloat32, cos, sin),
      "rope_table", {&cos, &sin});
  const auto describe = [&] { return Operation{.kind = "rope", .writes = {cos, sin}}; };
  run(stream, describe, [&] { do_rope_table(stream, cos, sin, rope); });
}

void ModelOperations::rope_forward(const Stream& stream, const Tensor& x, const Tensor& cos, const Tensor& sin) {
  check_rope("rope_forward", x, cos, sin);
  const auto describe = [&] { return Operation{.kind = "rope", .reads = {cos, sin}, .updates = {x}}; };
  run(stream, describe, [&] { do_rope_forward(stream, x, cos, sin); });
}

void ModelOperations::rope_backward(const Stream& stream, const Tensor& dx, const Tensor& cos, const Tensor& sin) {
  check_rope("rope_backward", dx, cos, sin);
  const auto describe = [&] { return Operation{.kind = "rope", .reads = {cos, sin}, .updates = {dx}}; };
  run(stream, describe, [&] { do_rope_backward(stream, dx, cos, sin); });
}

// ---- Loss ----

void ModelOperations::cross_entropy_forward(const Stream& stream, const Tensor& losses, const Tensor& logits,
                                            const Tensor& targets, int64_t vocab_size) {
  check_cross_entropy("cross_entropy_forward", losses, logits, targets, vocab_size);
  const auto describe = [&] {
    return Operation{.kind = "cross entropy", .writes = {losses}, .reads = {logits.slice(1, 0, vocab_size), targets}};
  };
  run(stream, describe, [&] { do_cross_entropy_forward(stream, losses, logits, targets, vocab_size); });
}

void ModelOperations::cross_entropy_forward_backward(const Stream& stream, const Tensor& losses, const Tensor& logits,
                                                     const Tensor& targets, int64_t vocab_size, double scale) {
  check_cross_entropy("cross_entropy_forward_backward", losses, logits, targets, vocab_size);
  // Of the logits the padding is written, but not read.
  const auto describe = [&] {
    return Operation{
        .kind = "cross entropy", .writes = {losses, logits}, .reads = {logits.slice(1, 0, vocab_size), targets}};
  };
  run(stream, describe, [&] { do_cross_entropy_forward_backward(stream, losses, logits, targets, vocab_size, scale); });
}

}  // namespace lighthouse
