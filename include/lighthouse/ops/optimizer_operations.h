// Reductions over gradients, and AdamW.
#pragma once

#include <cstdint>

#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/operation.h"

namespace lighthouse {

/// The results of a training step: float64 [kStepScalars] in device memory.
enum StepScalar : int {
  kLoss,          // mean over the step's tokens, nats
  kStopRequests,  // number of ranks that want the run to stop after this step
  kGradientNorm,  // before clipping
  kSkipped,       // 1 if loss or gradient norm is not finite, which leaves the weights unchanged
  kUpdates,       // updates so far, including this one: t of the bias correction
  kStepScalars
};

/// The numbers of one optimizer step: float32 [kAdamScalars]. They are in device memory so that the host need not wait
/// for them.
enum AdamScalar : int {
  kLearningRate,     // of this step, after schedule and stage factor
  kBiasCorrection1,  // 1 - beta1^t
  kBiasCorrection2,  // 1 - beta2^t
  kGradientScale,    // clipping factor: 1, or max_norm / norm
  kApply,            // 1, or 0 for a skipped step
  kAdamScalars
};

/// Hyper-parameters of AdamW. They are constant during a run, except that weight_decay is 0 for vectors.
struct AdamSettings {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
};

/// backend.h has the rules that hold for all operations.
class OptimizerOperations : public virtual OperationSet {
 public:
  /// sum float64 [1]: adds scale * the sum of x (float32, contiguous), summed in float64 over fixed blocks.
  void add_sum(const Stream& stream, const Tensor& sum, const Tensor& scratch, const Tensor& x, double scale);
  /// norm float64 [1] = the L2 norm of x (float32, contiguous), summed in float64 over fixed blocks.
  void l2_norm(const Stream& stream, const Tensor& norm, const Tensor& scratch, const Tensor& x);
  /// norm float64 [1] = the L2 norm of `norms` (float64, contiguous), summed in order. Gives the norm of a vector from
  /// the norms of its parts.
  void combine_norms(const Stream& stream, const Tensor& norm, const Tensor& norms);
  /// Of add_sum and l2_norm.
  virtual int64_t reduction_scratch(int64_t numel) const = 0;
  /// Decides on a step. Reads loss and norm from `step` (StepScalar), marks there whether the step is skipped, counts
  /// it if it is not, and writes `scalars` (AdamScalar). The gradient is clipped to `max_norm`; 0: no clipping.
  void plan_update(const Stream& stream, const Tensor& scalars, const Tensor& step, double learning_rate,
                   double max_norm, const AdamSettings& settings);
  /// One step of AdamW with decoupled weight decay (Loshchilov and Hutter, 2019), in place on weight, m, v (flat):
  /// g = gradient * scale; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
  /// weight -= lr ((m / bias1) / (sqrt(v / bias2) + epsilon) + decay weight). `scalars` as in AdamScalar.
  /// weight and gradient are float32, m and v float32 or bfloat16. `working`, unless empty, becomes weight rounded to
  /// its type; the CPU backend takes none.
  void adamw(const Stream& stream, const Tensor& weight, const Tensor& working, const Tensor& m, const Tensor& v,
             const Tensor& gradient, const Tensor& scalars, const AdamSettings& settings);

 protected:
  ~OptimizerOperations() = default;

 private:
  // A device's version of each operation above. The arguments, in the same order, have been checked.
  virtual void do_add_sum(const Stream&, const Tensor&, const Tensor&, const Tensor&, double) {
    not_implemented(__func__);
  }
  virtual void do_l2_norm(const Stream&, const Tensor&, const Tensor&, const Tensor&) { not_implemented(__func__); }
  virtual void do_combine_norms(const Stream&, const Tensor&, const Tensor&) { not_implemented(__func__); }
  virtual void do_plan_update(const Stream&, const Tensor&, const Tensor&, double, double, const AdamSettings&) {
    not_implemented(__func__);
  }
  virtual void do_adamw(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                        const Tensor&, const AdamSettings&) {
    not_implemented(__func__);
  }
};

}  // namespace lighthouse
