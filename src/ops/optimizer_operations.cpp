#include "lighthouse/ops/optimizer_operations.h"

#include "lighthouse/ops/check.h"

namespace lighthouse {
namespace {

void check_reduction(const char* operation, const Tensor& result, const Tensor& scratch, const Tensor& x,
                     int64_t scratch_bytes) {
  require(result.numel() == 1 && contiguous(x) && have_dtype(DType::kFloat64, result) &&
              have_dtype(DType::kFloat32, x) && scratch.bytes() >= scratch_bytes,
          operation, {&result, &scratch, &x});
}

bool is_working_copy(const Tensor& working, const Tensor& weight) {
  return working.numel() == weight.numel() && contiguous(working) && is_activation_type(working.dtype());
}

}  // namespace

void OptimizerOperations::add_sum(const Stream& stream, const Tensor& sum, const Tensor& scratch, const Tensor& x,
                                  double scale) {
  check_reduction("add_sum", sum, scratch, x, reduction_scratch(x.numel()));
  const auto describe = [&] { return Operation{.kind = "loss sum", .reads = {x}, .updates = {sum}}; };
  run(stream, describe, [&] { do_add_sum(stream, sum, scratch, x, scale); });
}

void OptimizerOperations::l2_norm(const Stream& stream, const Tensor& norm, const Tensor& scratch, const Tensor& x) {
  check_reduction("l2_norm", norm, scratch, x, reduction_scratch(x.numel()));
  const auto describe = [&] { return Operation{.kind = "gradient norm", .writes = {norm}, .reads = {x}}; };
  run(stream, describe, [&] { do_l2_norm(stream, norm, scratch, x); });
}

void OptimizerOperations::combine_norms(const Stream& stream, const Tensor& norm, const Tensor& norms) {
  require(norm.numel() == 1 && contiguous(norms) && have_dtype(DType::kFloat64, norm, norms), "combine_norms",
          {&norm, &norms});
  const auto describe = [&] { return Operation{.kind = "gradient norm", .writes = {norm}, .reads = {norms}}; };
  run(stream, describe, [&] { do_combine_norms(stream, norm, norms); });
}

void OptimizerOperations::plan_update(const Stream& stream, const Tensor& scalars, const Tensor& step,
                                      double learning_rate, double max_norm, const AdamSettings& settings) {
  require(scalars.numel() == kAdamScalars && step.numel() == kStepScalars && contiguous(scalars, step) &&
              have_dtype(DType::kFloat32, scalars) && have_dtype(DType::kFloat64, step),
          "plan_update", {&scalars, &step});
  const auto describe = [&] { return Operation{.kind = "adamw", .writes = {scalars}, .updates = {step}}; };
  run(stream, describe, [&] { do_plan_update(stream, scalars, step, learning_rate, max_norm, settings); });
}

void OptimizerOperations::adamw(const Stream& stream, const Tensor& weight, const Tensor& working, const Tensor& m,
                                const Tensor& v, const Tensor& gradient, const Tensor& scalars,
                                const AdamSettings& settings) {
  require(m.numel() == weight.numel() && v.numel() == weight.numel() && gradient.numel() == weight.numel() &&
              scalars.numel() == kAdamScalars && contiguous(weight, m, v, gradient, scalars) &&
              have_dtype(DType::kFloat32, weight, gradient, scalars) && is_activation_type(m.dtype()) &&
              have_dtype(m.dtype(), v) && (working.rank() == 0 || is_working_copy(working, weight)),
          "adamw", {&weight, &working, &m, &v, &gradient, &scalars});
  const auto describe = [&] {
    return Operation{
        .kind = "adamw", .writes = given(working), .reads = {gradient, scalars}, .updates = {weight, m, v}};
  };
  run(stream, describe, [&] { do_adamw(stream, weight, working, m, v, gradient, scalars, settings); });
}

}  // namespace lighthouse
