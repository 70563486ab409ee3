// Every operation that the model, the loss and the optimizer need: one interface, one implementation a device.
//
// Rules that hold for all of them:
// - Outputs come first, then scratch where there is one, then inputs, then numbers.
// - Nothing is allocated: outputs and scratch are the caller's. `..._scratch(...)` tells the bytes an operation wants.
// - Pure functions of their arguments, and deterministic: the same bits on every call, whatever the number of threads.
// - A `d` before a name is the gradient of the loss by it. Gradients of weights are added to; gradients of activations
//   are overwritten, unless it says "adds".
// - Shapes: B batch, N sequence, T = B N tokens, C hidden size, H query heads, G key/value heads (H a multiple of G),
//   D head dimension, F intermediate size, V vocabulary, S gathered length, E pyramid entries.
// - Tensors with heads, [B, N, H, D], may be strided (they are views of a fused qkv) between heads, not within one.
//   Everything else is contiguous.
// - Activations are float32 on the CPU and float32 or bfloat16 on CUDA; weights are of the activations' type, but for
//   the master weights that the optimizer updates. Master weights, gradients of weights, statistics and scores are
//   float32 everywhere.
// - Operations may run behind the caller's back: a stream is waited for before the host reads what they wrote.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "lighthouse/core/memory.h"
#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/lighthouse_shape.h"
#include "lighthouse/ops/rope.h"
#include "lighthouse/ops/stream.h"

namespace lighthouse {

/// What a step of training came to: float64 [kStepScalars] in device memory.
enum StepScalar : int {
  kLoss,          // mean over the step's tokens, nats
  kStopRequests,  // ranks that want the run to stop after this step
  kGradientNorm,  // before clipping
  kSkipped,       // 1 if one of them is not finite: the weights stay as they are
  kUpdates,       // updates made so far, this one included: t of the bias correction
  kStepScalars
};

/// The numbers of one optimizer step: float32 [kAdamScalars] in device memory, so that the host need not wait for them.
enum AdamScalar : int {
  kLearningRate,     // of this step, schedule and stage factor applied
  kBiasCorrection1,  // 1 - beta1^t
  kBiasCorrection2,  // 1 - beta2^t
  kGradientScale,    // the clipping factor: 1, or max_norm / norm
  kApply,            // 1, or 0 for a step that is skipped
  kAdamScalars
};

/// Hyper-parameters of AdamW that do not change during a run, except that weight_decay is 0 for vectors.
struct AdamSettings {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
};

/// What Lighthouse Attention gathers, for each batch entry and key/value head. Query head h uses the selection of its
/// key/value head, h / (H / G).
struct LighthouseSelection {
  Tensor indices;  // int32 [B, G, S]: the numbers of the gathered entries, in causal order
  Tensor rows;     // int32 [B, G, E]: the row of each entry among the gathered, -1 where it is not gathered
};

/// Where the documents of a batch lie: Backend::find_documents fills it.
struct Documents {
  Tensor starts;  // int32 [B, N]: where each token's document begins in its sequence
  Tensor bounds;  // int32 [B N + 2]: the first token of each, counted through the batch; then B N; last, their count
  int64_t count = 0;  // of documents
};

/// Which keys a query sees of those up to itself.
struct AttentionMask {
  int64_t window = 0;   // the query's own key and the window - 1 keys before it; 0: all keys
  Documents documents;  // no keys before the start of the query's document; undefined: a sequence is one document
};

/// What a device can do, by its data sheet; 0 where that is not known.
struct Hardware {
  std::string name;
  int64_t memory_bytes = 0;     // that a run can have
  double flops = 0;             // per second, in matrix products of the type that the backend computes in
  double bytes_per_second = 0;  // of device memory
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual Device device() const = 0;
  /// The type of activations and of the weights that they meet.
  virtual DType dtype() const = 0;
  /// What computed: library versions, processor, instruction set. Recorded in checkpoints.
  virtual std::string description() const = 0;
  virtual Hardware hardware() const = 0;
  /// Bytes of its memory that are in use now.
  virtual int64_t memory_in_use() const = 0;
  /// The bytes of logits that are worth having in memory together: more of them make fewer and larger products.
  virtual int64_t logits_bytes() const = 0;

  // ---- Memory; any thread may make these calls, and those of "Order" ----

  /// Zeroed device memory. Throws InputError if the device does not have it.
  virtual Memory allocate(int64_t bytes) = 0;
  /// Zeroed host memory that copies to and from the device run fastest with. Throws InputError if there is not enough.
  virtual Memory allocate_host(int64_t bytes) = 0;

  virtual void fill(const Stream&, const Tensor& out, float value) = 0;
  /// out = in, of as many elements; float32 and bfloat16 are converted to each other on one device. Between host and
  /// device the types are equal; there the host's memory must live, and be left alone, until the stream has come by.
  virtual void copy(const Stream&, const Tensor& out, const Tensor& in) = 0;

  // ---- Order ----

  /// The stream of a run's operations, two for copies beside them, to the device and from it, and one for what goes to
  /// other ranks.
  virtual Stream compute_stream() = 0;
  virtual Stream upload_stream() = 0;
  virtual Stream download_stream() = 0;
  virtual Stream communication_stream() = 0;
  virtual Event record(const Stream& stream) = 0;
  /// What `stream` is given from now on waits for `event`.
  virtual void wait(const Stream& stream, const Event& event) = 0;
  /// The host waits. Throws RunError if an operation failed on the device.
  virtual void wait(const Event& event) = 0;
  virtual void wait(const Stream& stream) = 0;
  /// Records what `work` gives to `stream`, without running it. Null where operations cannot be recorded.
  virtual std::unique_ptr<Graph> capture(const Stream& stream, const std::function<void()>& work) = 0;

  // ---- Embedding ----

  /// out [T, C] = weight[tokens]; weight [V, C], tokens int32 [T], each in [0, V).
  virtual void embedding_forward(const Stream&, const Tensor& out, const Tensor& weight, const Tensor& tokens) = 0;
  /// dweight [V, C] adds each row of dout [T, C] to the row of its token, in the order of the tokens.
  virtual void embedding_backward(const Stream&, const Tensor& dweight, const Tensor& scratch, const Tensor& dout,
                                  const Tensor& tokens) = 0;
  virtual int64_t embedding_backward_scratch(int64_t tokens, int64_t hidden_size) const = 0;

  // ---- RMSNorm: out = x * rstd * weight with rstd = 1 / sqrt(mean(x^2) + epsilon)  (Zhang and Sennrich, 2019) ----

  /// out [T, C], rstd [T]; x [T, C], weight [C].
  virtual void rmsnorm_forward(const Stream&, const Tensor& out, const Tensor& rstd, const Tensor& x,
                               const Tensor& weight, double epsilon) = 0;
  /// sum [T, C] = residual + x, then out and rstd as rmsnorm_forward of sum. `sum` may be `residual`.
  virtual void rmsnorm_residual_forward(const Stream&, const Tensor& sum, const Tensor& out, const Tensor& rstd,
                                        const Tensor& residual, const Tensor& x, const Tensor& weight,
                                        double epsilon) = 0;
  /// dx [T, C] adds; dweight [C] adds.
  virtual void rmsnorm_backward(const Stream&, const Tensor& dx, const Tensor& dweight, const Tensor& scratch,
                                const Tensor& dout, const Tensor& x, const Tensor& weight, const Tensor& rstd) = 0;
  virtual int64_t rmsnorm_backward_scratch(int64_t tokens, int64_t hidden_size) const = 0;

  // ---- Linear layer: out = x weight^T. All three want linear_scratch() bytes. ----

  /// out [T, O] = x [T, I] weight [O, I]^T.
  virtual void linear_forward(const Stream&, const Tensor& out, const Tensor& scratch, const Tensor& x,
                              const Tensor& weight) = 0;
  /// dx [T, I] = dout [T, O] weight [O, I].
  virtual void linear_backward_input(const Stream&, const Tensor& dx, const Tensor& scratch, const Tensor& dout,
                                     const Tensor& weight) = 0;
  /// dweight [O, I] adds dout [T, O]^T x [T, I].
  virtual void linear_backward_weight(const Stream&, const Tensor& dweight, const Tensor& scratch, const Tensor& dout,
                                      const Tensor& x) = 0;
  virtual int64_t linear_scratch() const = 0;

  // ---- SwiGLU: out = silu(gate) * up  (Shazeer, 2020) ----

  /// out [T, F]; gate_up [T, 2F] holds gate, then up.
  virtual void swiglu_forward(const Stream&, const Tensor& out, const Tensor& gate_up) = 0;
  /// dgate_up [T, 2F] from dout [T, F], and out [T, F] once more: cheaper to compute in passing than to keep.
  virtual void swiglu_backward(const Stream&, const Tensor& dgate_up, const Tensor& out, const Tensor& dout,
                               const Tensor& gate_up) = 0;

  // ---- Rotary position embedding, half-split form (Su et al., 2021; as in Hugging Face's Llama) ----

  /// cos, sin [N, D/2]: of position * scaled_frequency(theta^(-2 i / D)), computed in float64.
  virtual void rope_table(const Stream&, const Tensor& cos, const Tensor& sin, const RopeSettings& rope) = 0;
  /// Rotates x [B, N, H, D] in place: (a, b) -> (a cos - b sin, b cos + a sin), a and b the halves of a head.
  virtual void rope_forward(const Stream&, const Tensor& x, const Tensor& cos, const Tensor& sin) = 0;
  /// Its transpose, in place on a gradient: the rotation back.
  virtual void rope_backward(const Stream&, const Tensor& dx, const Tensor& cos, const Tensor& sin) = 0;

  // ---- Causal attention: softmax(q k^T / sqrt(D)) v, never shard an N x N matrix  (Dao, 2022) ----

  /// Fills starts and bounds by tokens int32 [B, N] and returns the count. A document ends with `end_of_text`, or with
  /// its sequence. Waits for the device, so that it cannot be captured.
  virtual int64_t find_documents(const Stream&, const Documents& documents, const Tensor& tokens,
                                 int32_t end_of_text) = 0;
  /// out [B, N, H, D], lse [B, H, N] (log of the sum of exponentials of the scaled scores);
  /// q [B, N, H, D], k and v [B, N, G, D]. Query head h uses key/value head h / (H / G). `mask` says which keys a query
  /// sees. With documents in bfloat16 on CUDA, q, k and v must lie in one fused tensor, lse has the layout [B, N, H],
  /// and the backward is not deterministic.
  virtual void attention_forward(const Stream&, const Tensor& out, const Tensor& lse, const Tensor& scratch,
                                 const Tensor& q, const Tensor& k, const Tensor& v, const AttentionMask& mask = {}) = 0;
  /// `documents`: whether the mask will have documents; `window`: its window.
  virtual int64_t attention_forward_scratch(const Shape& q, int64_t kv_heads, bool documents = false,
                                            int64_t window = 0) const = 0;
  /// dq, dk, dv as q, k, v; dout as out.
  virtual void attention_backward(const Stream&, const Tensor& dq, const Tensor& dk, const Tensor& dv,
                                  const Tensor& scratch, const Tensor& dout, const Tensor& out, const Tensor& lse,
                                  const Tensor& q, const Tensor& k, const Tensor& v,
                                  const AttentionMask& mask = {}) = 0;
  virtual int64_t attention_backward_scratch(const Shape& q, int64_t kv_heads, bool documents = false,
                                             int64_t window = 0) const = 0;

  // ---- One new token. Keys and values of those before it are kept: k_cache, v_cache [M, G, D], rotated ----

  /// out [1, O] = RMSNorm(x [1, C]) weight [O, C]^T, with the norm's weight `norm` [C]; rounded where rmsnorm_forward
  /// and linear_forward round.
  virtual void token_norm_linear(const Stream&, const Tensor& out, const Tensor& x, const Tensor& norm, double epsilon,
                                 const Tensor& weight) = 0;
  /// out [1, F] = SwiGLU of RMSNorm(x [1, C]) gate_up [2F, C]^T.
  virtual void token_norm_swiglu(const Stream&, const Tensor& out, const Tensor& x, const Tensor& norm, double epsilon,
                                 const Tensor& gate_up) = 0;
  /// sum [1, O] += x [1, I] weight [O, I]^T.
  virtual void token_linear_add(const Stream&, const Tensor& sum, const Tensor& x, const Tensor& weight) = 0;

  /// Rows [0, N) of cache [M, G, D] = x [N, G, D], which may be strided as q, k, v are.
  virtual void cache_rows(const Stream&, const Tensor& cache, const Tensor& x) = 0;
  /// out [H, D] of the token at `position` (int32 [1] in device memory, below M), which sees the keys up to itself, or
  /// the last `window` of them if `window` is not 0. Its
  /// fused qkv [H + 2 G, D] is not rotated yet, and is left so; cos, sin [M, D/2] are rope_table's. Its rotated k and
  /// its v become row `position` of the caches. The operations of one new token that were given to the stream just
  /// before may still run when the position and the caches are read: they must not write them.
  virtual void attention_decode(const Stream&, const Tensor& out, const Tensor& k_cache, const Tensor& v_cache,
                                const Tensor& scratch, const Tensor& qkv, const Tensor& cos, const Tensor& sin,
                                const Tensor& position, int64_t window = 0) = 0;
  virtual int64_t attention_decode_scratch(const Shape& cache, int64_t heads) const = 0;

  // ---- Lighthouse Attention (docs/lighthouse-attention.md; E = shape.all_entries(), E' = shape.scored_entries()) ----

  /// s_q, s_k [B, G, E'] of the levels above 0 (entry (l, i) at offset(l) + i - N) from q [B, N, H, D], k [B, N, G, D]
  /// before RoPE: the largest L2 norm under each entry; over a group's query heads the largest.
  virtual void lighthouse_norm_scores(const Stream&, const Tensor& s_q, const Tensor& s_k, const Tensor& q,
                                      const Tensor& k, const LighthouseShape& shape) = 0;
  /// The same from dilated attention: q, k, v after RoPE; `dilation` divides N.
  virtual void lighthouse_dilated_scores(const Stream&, const Tensor& s_q, const Tensor& s_k, const Tensor& scratch,
                                         const Tensor& q, const Tensor& k, const Tensor& v, int64_t dilation,
                                         const LighthouseShape& shape) = 0;
  virtual int64_t lighthouse_dilated_scores_scratch(const Shape& q, int64_t kv_heads, int64_t dilation,
                                                    const LighthouseShape& shape) const = 0;
  /// Chooses the entries by their scores, and writes both of `selection`. A NaN score ranks last.
  virtual void lighthouse_select(const Stream&, const LighthouseSelection& selection, const Tensor& s_q,
                                 const Tensor& s_k, const LighthouseShape& shape) = 0;
  /// selection.rows from selection.indices.
  virtual void lighthouse_invert(const Stream&, const LighthouseSelection& selection, const LighthouseShape& shape) = 0;
  /// gathered [B, S, H + 2 G, D]: the mean of the fused qkv [B, N, H + 2 G, D] over the tokens of each gathered entry.
  /// With cos and sin [N, D/2], q and k are rotated as by rope_forward before they are averaged; with empty tensors
  /// they are taken as they are.
  virtual void lighthouse_gather(const Stream&, const Tensor& gathered, const Tensor& qkv,
                                 const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                                 const LighthouseShape& shape) = 0;
  /// dqkv [B, N, H + 2 G, D] from dgathered [B, S, H + 2 G, D]: the transpose of lighthouse_gather. Given `window_dqkv`
  /// (as dqkv, rotated as q and k were; it may be dqkv itself), dqkv becomes half the sum of both, rotated back.
  virtual void lighthouse_gather_backward(const Stream&, const Tensor& dqkv, const Tensor& dgathered,
                                          const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                                          const LighthouseShape& shape, const Tensor& window_dqkv = {}) = 0;
  /// out [B, N, H, D] from gathered [B, S, H, D]: each row written over the positions its entry may speak for, one
  /// entry's length later (spec, section 5), summed over the levels. Given `window_out` (as out, contiguous; it may be
  /// out itself), out becomes half the sum of both.
  virtual void lighthouse_scatter(const Stream&, const Tensor& out, const Tensor& gathered,
                                  const LighthouseSelection& selection, const LighthouseShape& shape,
                                  const Tensor& window_out = {}) = 0;
  /// dgathered [B, S, H, D] from dout [B, N, H, D]: the transpose of lighthouse_scatter.
  virtual void lighthouse_scatter_backward(const Stream&, const Tensor& dgathered, const Tensor& dout,
                                           const LighthouseSelection& selection, const LighthouseShape& shape) = 0;

  // ---- Loss ----

  /// losses [T] = -log softmax(logits)[target], nats; logits [T, V'] of which the first `vocab_size` columns take part
  /// (the rest is padding); targets int32 [T]. A negative target has loss 0 and no gradient.
  virtual void cross_entropy_forward(const Stream&, const Tensor& losses, const Tensor& logits, const Tensor& targets,
                                     int64_t vocab_size) = 0;
  /// The same, and logits become their gradient: scale * (softmax - one-hot), 0 in the padding.
  virtual void cross_entropy_forward_backward(const Stream&, const Tensor& losses, const Tensor& logits,
                                              const Tensor& targets, int64_t vocab_size, double scale) = 0;

  // ---- Optimizer ----

  /// sum float64 [1] adds scale * the sum of x (float32, contiguous), in float64 over fixed blocks.
  virtual void add_sum(const Stream&, const Tensor& sum, const Tensor& scratch, const Tensor& x, double scale) = 0;
  /// norm float64 [1] = the L2 norm of x (float32, contiguous), summed in float64 over fixed blocks.
  virtual void l2_norm(const Stream&, const Tensor& norm, const Tensor& scratch, const Tensor& x) = 0;
  /// norm float64 [1] = the L2 norm of `norms` (float64, contiguous), summed in order: of a vector from its parts'.
  virtual void combine_norms(const Stream&, const Tensor& norm, const Tensor& norms) = 0;
  /// Of add_sum and l2_norm.
  virtual int64_t reduction_scratch(int64_t numel) const = 0;
  /// Decides on a step: from loss and norm in `step` (StepScalar) whether it is skipped, and if not counts it, and
  /// writes `scalars` (AdamScalar). The gradient is clipped to `max_norm`; 0: it is not.
  virtual void plan_update(const Stream&, const Tensor& scalars, const Tensor& step, double learning_rate,
                           double max_norm, const AdamSettings& settings) = 0;
  /// One step of AdamW with decoupled weight decay (Loshchilov and Hutter, 2019), in place on weight, m, v (flat):
  /// g = gradient * scale; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
  /// weight -= lr ((m / bias1) / (sqrt(v / bias2) + epsilon) + decay weight). `scalars` as in AdamScalar.
  /// weight and gradient are float32, m and v float32 or bfloat16. `working`, if defined, becomes weight rounded to its
  /// type.
  virtual void adamw(const Stream&, const Tensor& weight, const Tensor& working, const Tensor& m, const Tensor& v,
                     const Tensor& gradient, const Tensor& scalars, const AdamSettings& settings) = 0;
};

/// The CPU backend: float32, OpenMP and OpenBLAS. Sets OpenBLAS to one thread a call: it does its own splitting.
std::unique_ptr<Backend> make_cpu_backend();

}  // namespace lighthouse
