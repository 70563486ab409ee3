// A backend that keeps a table of what it was asked to do: `lighthouse plan` fills one from a config alone, profiling
// one with measured times.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lighthouse/ops/backend.h"
#include "lighthouse/ops/cost.h"

namespace lighthouse {

/// Stands before another backend and adds each operation's cost, which follows from its arguments' shapes and types, to
/// a table by kind of operation. What is not an operation goes through to the backend behind, except that nothing is
/// captured, so that every operation is seen each time.
///
/// Bytes are the least that can move: inputs read once, outputs written once, what is added to read and written.
/// Scratch does not count, nor does the host's side of a copy; of an embedding only as many rows as there are tokens.
/// Where documents end is not known here: attention that stays inside them counts as over the whole sequence.
class MeteredBackend : public Backend {
 public:
  enum class Mode : uint8_t {
    /// Operations are counted, not run: tensors may be without address, those of a measuring Arena.
    kCount,
    /// Operations are counted, run and timed by the host's clock, which waits for the stream before and after each. So
    /// nothing overlaps, and a short operation's time is mostly that of its launch. What waiting for nothing takes (a
    /// few microseconds on a GPU) is measured beforehand and subtracted.
    kTime,
    /// The same, but each operation runs many times in a row, as a recorded graph where there can be one: short ones
    /// are
    /// timed rightly, and what is added to or changed in place is so again and again. For what is run to be timed.
    kTimeRepeated,
  };

  /// `inner` must outlive this. `rates` are what rooflines are reckoned with.
  MeteredBackend(Backend& inner, Mode mode, const Rates& rates = {});
  MeteredBackend(const MeteredBackend&) = delete;
  MeteredBackend& operator=(const MeteredBackend&) = delete;

  /// One entry a kind of operation, in the order of first use.
  const std::vector<OperationCost>& costs() const { return costs_; }
  /// Empties the table.
  void reset() { costs_.clear(); }

  Device device() const override { return inner_.device(); }
  DType dtype() const override { return inner_.dtype(); }
  std::string description() const override { return inner_.description(); }
  Hardware hardware() const override { return inner_.hardware(); }
  int64_t memory_in_use() const override { return inner_.memory_in_use(); }
  int64_t logits_bytes() const override { return inner_.logits_bytes(); }

  // Memory
  Memory allocate(int64_t bytes) override { return inner_.allocate(bytes); }
  Memory allocate_host(int64_t bytes) override { return inner_.allocate_host(bytes); }
  void fill(const Stream& stream, const Tensor& out, float value) override;
  void copy(const Stream& stream, const Tensor& out, const Tensor& in) override;

  // Order
  Stream compute_stream() override { return inner_.compute_stream(); }
  Stream upload_stream() override { return inner_.upload_stream(); }
  Stream download_stream() override { return inner_.download_stream(); }
  Stream communication_stream() override { return inner_.communication_stream(); }
  Event record(const Stream& stream) override { return inner_.record(stream); }
  void wait(const Stream& stream, const Event& event) override { inner_.wait(stream, event); }
  void wait(const Event& event) override { inner_.wait(event); }
  void wait(const Stream& stream) override { inner_.wait(stream); }
  std::unique_ptr<Graph> capture(const Stream&, const std::function<void()>&) override { return nullptr; }

  // Embedding
  void embedding_forward(const Stream& stream, const Tensor& out, const Tensor& weight, const Tensor& tokens) override;
  void embedding_backward(const Stream& stream, const Tensor& dweight, const Tensor& scratch, const Tensor& dout,
                          const Tensor& tokens) override;
  int64_t embedding_backward_scratch(int64_t tokens, int64_t hidden_size) const override {
    return inner_.embedding_backward_scratch(tokens, hidden_size);
  }

  // RMSNorm
  void rmsnorm_forward(const Stream& stream, const Tensor& out, const Tensor& rstd, const Tensor& x,
                       const Tensor& weight, double epsilon) override;
  void rmsnorm_residual_forward(const Stream& stream, const Tensor& sum, const Tensor& out, const Tensor& rstd,
                                const Tensor& residual, const Tensor& x, const Tensor& weight, double epsilon) override;
  void rmsnorm_backward(const Stream& stream, const Tensor& dx, const Tensor& dweight, const Tensor& scratch,
                        const Tensor& dout, const Tensor& x, const Tensor& weight, const Tensor& rstd) override;
  int64_t rmsnorm_backward_scratch(int64_t tokens, int64_t hidden_size) const override {
    return inner_.rmsnorm_backward_scratch(tokens, hidden_size);
  }

  // Linear layer
  void linear_forward(const Stream& stream, const Tensor& out, const Tensor& scratch, const Tensor& x,
                      const Tensor& weight) override;
  void linear_backward_input(const Stream& stream, const Tensor& dx, const Tensor& scratch, const Tensor& dout,
                             const Tensor& weight) override;
  void linear_backward_weight(const Stream& stream, const Tensor& dweight, const Tensor& scratch, const Tensor& dout,
                              const Tensor& x) override;
  int64_t linear_scratch() const override { return inner_.linear_scratch(); }

  // SwiGLU
  void swiglu_forward(const Stream& stream, const Tensor& out, const Tensor& gate_up) override;
  void swiglu_backward(const Stream& stream, const Tensor& dgate_up, const Tensor& out, const Tensor& dout,
                       const Tensor& gate_up) override;

  // Rotary position embedding
  void rope_table(const Stream& stream, const Tensor& cos, const Tensor& sin, const RopeSettings& rope) override;
  void rope_forward(const Stream& stream, const Tensor& x, const Tensor& cos, const Tensor& sin) override;
  void rope_backward(const Stream& stream, const Tensor& dx, const Tensor& cos, const Tensor& sin) override;

  // Causal attention
  int64_t find_documents(const Stream& stream, const Documents& documents, const Tensor& tokens,
                         int32_t end_of_text) override;
  void attention_forward(const Stream& stream, const Tensor& out, const Tensor& lse, const Tensor& scratch,
                         const Tensor& q, const Tensor& k, const Tensor& v, const AttentionMask& mask) override;
  int64_t attention_forward_scratch(const Shape& q, int64_t kv_heads, bool documents, int64_t window) const override {
    return inner_.attention_forward_scratch(q, kv_heads, documents, window);
  }
  void attention_backward(const Stream& stream, const Tensor& dq, const Tensor& dk, const Tensor& dv,
                          const Tensor& scratch, const Tensor& dout, const Tensor& out, const Tensor& lse,
                          const Tensor& q, const Tensor& k, const Tensor& v, const AttentionMask& mask) override;
  int64_t attention_backward_scratch(const Shape& q, int64_t kv_heads, bool documents, int64_t window) const override {
    return inner_.attention_backward_scratch(q, kv_heads, documents, window);
  }
  void token_norm_linear(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& norm, double epsilon,
                         const Tensor& weight) override;
  void token_norm_swiglu(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& norm, double epsilon,
                         const Tensor& gate_up) override;
  void token_linear_add(const Stream& stream, const Tensor& sum, const Tensor& x, const Tensor& weight) override;
  void cache_rows(const Stream& stream, const Tensor& cache, const Tensor& x) override;
  void attention_decode(const Stream& stream, const Tensor& out, const Tensor& k_cache, const Tensor& v_cache,
                        const Tensor& scratch, const Tensor& qkv, const Tensor& cos, const Tensor& sin,
                        const Tensor& position, int64_t window) override;
  int64_t attention_decode_scratch(const Shape& cache, int64_t heads) const override {
    return inner_.attention_decode_scratch(cache, heads);
  }

  // Lighthouse Attention
  void lighthouse_norm_scores(const Stream& stream, const Tensor& s_q, const Tensor& s_k, const Tensor& q,
                              const Tensor& k, const LighthouseShape& shape) override;
  void lighthouse_dilated_scores(const Stream& stream, const Tensor& s_q, const Tensor& s_k, const Tensor& scratch,
                                 const Tensor& q, const Tensor& k, const Tensor& v, int64_t dilation,
                                 const LighthouseShape& shape) override;
  int64_t lighthouse_dilated_scores_scratch(const Shape& q, int64_t kv_heads, int64_t dilation,
                                            const LighthouseShape& shape) const override {
    return inner_.lighthouse_dilated_scores_scratch(q, kv_heads, dilation, shape);
  }
  void lighthouse_select(const Stream& stream, const LighthouseSelection& selection, const Tensor& s_q,
                         const Tensor& s_k, const LighthouseShape& shape) override;
  void lighthouse_invert(const Stream& stream, const LighthouseSelection& selection,
                         const LighthouseShape& shape) override;
  void lighthouse_gather(const Stream& stream, const Tensor& gathered, const Tensor& qkv,
                         const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                         const LighthouseShape& shape) override;
  void lighthouse_gather_backward(const Stream& stream, const Tensor& dqkv, const Tensor& dgathered,
                                  const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                                  const LighthouseShape& shape, const Tensor& window_dqkv) override;
  void lighthouse_scatter(const Stream& stream, const Tensor& out, const Tensor& gathered,
                          const LighthouseSelection& selection, const LighthouseShape& shape,
                          const Tensor& window_out) override;
  void lighthouse_scatter_backward(const Stream& stream, const Tensor& dgathered, const Tensor& dout,
                                   const LighthouseSelection& selection, const LighthouseShape& shape) override;

  // Loss
  void cross_entropy_forward(const Stream& stream, const Tensor& losses, const Tensor& logits, const Tensor& targets,
                             int64_t vocab_size) override;
  void cross_entropy_forward_backward(const Stream& stream, const Tensor& losses, const Tensor& logits,
                                      const Tensor& targets, int64_t vocab_size, double scale) override;

  // Optimizer
  void add_sum(const Stream& stream, const Tensor& sum, const Tensor& scratch, const Tensor& x, double scale) override;
  void l2_norm(const Stream& stream, const Tensor& norm, const Tensor& scratch, const Tensor& x) override;
  void combine_norms(const Stream& stream, const Tensor& norm, const Tensor& norms) override;
  int64_t reduction_scratch(int64_t numel) const override { return inner_.reduction_scratch(numel); }
  void plan_update(const Stream& stream, const Tensor& scalars, const Tensor& step, double learning_rate,
                   double max_norm, const AdamSettings& settings) override;
  void adamw(const Stream& stream, const Tensor& weight, const Tensor& working, const Tensor& m, const Tensor& v,
             const Tensor& gradient, const Tensor& scalars, const AdamSettings& settings) override;

 private:
  /// Runs `run` if operations are run, and adds `call` to its kind's entry.
  void meter(const Stream& stream, OperationCost call, const std::function<void()>& run);
  double seconds_of(const Stream& stream, const std::function<void()>& run);
  double seconds_of_one(const Stream& stream, const std::function<void()>& run);
  void add(const OperationCost& call);

  Backend& inner_;
  Mode mode_;
  Rates rates_;
  double empty_seconds_ = 0;  // what seconds_of() nothing says
  std::vector<OperationCost> costs_;
};

/// What a run on a GPU is planned with where there is none.
struct PlannedCuda {
  DType dtype = DType::kBFloat16;
  bool deterministic = false;
  int64_t attention_workspace = int64_t{8} << 30;  // bytes; these three as in CudaOptions
  Hardware hardware;                               // what hardware() answers
  Rates rates;
};

/// Answers for its type, sizes and hardware as the CUDA backend would, and counts operations as kCount does. Its
/// allocate() throws std::logic_error: there is no GPU to run on. Host memory it gives.
std::unique_ptr<MeteredBackend> make_planned_cuda_backend(const PlannedCuda& planned);

}  // namespace lighthouse
