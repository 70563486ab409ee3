#include "lighthouse/ops/metered_backend.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "lighthouse/ops/cuda_scratch.h"

namespace lighthouse {
namespace {

template <typename... Tensors>
int64_t bytes_of(const Tensors&... tensors) {
  return (tensors.bytes() + ...);
}

/// Of what an operation adds to: read and written.
template <typename... Tensors>
int64_t twice(const Tensors&... tensors) {
  return 2 * bytes_of(tensors...);
}

OperationCost traffic(const char* kind, int64_t bytes) {
  return {kind, Work::kTraffic, 0, static_cast<double>(bytes)};
}

/// x [T, I] and weight [O, I], or their gradients: each of the three products multiplies T I O pairs.
OperationCost product(const char* kind, const Tensor& x, const Tensor& weight, int64_t bytes) {
  const double pairs = static_cast<double>(x.numel()) * static_cast<double>(weight.size(0));
  return {kind, Work::kProduct, 2 * pairs, static_cast<double>(bytes)};
}

/// The rows of an embedding [V, C] that T tokens take part in: their values are not known here, so all are taken to
/// differ, as far as there are rows.
int64_t bytes_of_rows(const Tensor& weight, const Tensor& tokens) {
  return weight.slice(0, 0, std::min(weight.size(0), tokens.numel())).bytes();
}

/// Of what may be left out: cosines and sines, where documents start.
template <typename... Tensors>
int64_t bytes_if_given(const Tensors&... tensors) {
  return ((tensors.rank() == 0 ? 0 : tensors.bytes()) + ...);
}

}  // namespace

MeteredBackend::MeteredBackend(Backend& inner, Mode mode, const Rates& rates)
    : inner_(inner), mode_(mode), rates_(rates) {
  if (mode == Mode::kCount) return;
  const Stream stream = inner.compute_stream();
  std::vector<double> seconds(100);
  for (double& each : seconds) each = seconds_of(stream, [] {});
  const auto middle = seconds.begin() + static_cast<int64_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  empty_seconds_ = *middle;
}

void MeteredBackend::meter(const Stream& stream, OperationCost call, const std::function<void()>& run) {
  if (mode_ == Mode::kTime) call.seconds = std::max(0.0, seconds_of(stream, run) - empty_seconds_);
  if (mode_ == Mode::kTimeRepeated) call.seconds = seconds_of_one(stream, run);
  call.roofline_seconds = roofline_seconds(call, rates_);
  add(call);
}

double MeteredBackend::seconds_of(const Stream& stream, const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  inner_.wait(stream);
  const Clock::time_point start = Clock::now();
  run();
  inner_.wait(stream);
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double MeteredBackend::seconds_of_one(const Stream& stream, const std::function<void()>& run) {
  constexpr int kRepeats = 10;
  const auto repeat = [&] {
    for (int i = 0; i < kRepeats; ++i) run();
  };
  run();  // libraries choose their algorithms now
  const auto graph = inner_.capture(stream, repeat);
  const auto measured = [&] { graph ? graph->launch(stream) : repeat(); };
  measured();
  return std::max(0.0, seconds_of(stream, measured) - empty_seconds_) / kRepeats;
}

void MeteredBackend::add(const OperationCost& call) {
  const auto same_kind = [&](const OperationCost& cost) { return cost.kind == call.kind; };
  const auto cost = std::find_if(costs_.begin(), costs_.end(), same_kind);
  if (cost == costs_.end()) {
    costs_.push_back(call);
    return;
  }
  cost->flops += call.flops;
  cost->bytes += call.bytes;
  cost->calls += call.calls;
  cost->roofline_seconds += call.roofline_seconds;
  cost->seconds += call.seconds;
}

// ---- Memory ----

void MeteredBackend::fill(const Stream& stream, const Tensor& out, float value) {
  meter(stream, traffic("fill and copy", bytes_of(out)), [&] { inner_.fill(stream, out, value); });
}

void MeteredBackend::copy(const Stream& stream, const Tensor& out, const Tensor& in) {
  const bool within = out.device() == in.device();
  meter(stream, traffic("fill and copy", within ? bytes_of(out, in) : bytes_of(out)),
        [&] { inner_.copy(stream, out, in); });
}

// ---- Embedding ----

void MeteredBackend::embedding_forward(const Stream& stream, const Tensor& out, const Tensor& weight,
                                       const Tensor& tokens) {
  meter(stream, traffic("embedding forward", bytes_of(out, tokens) + bytes_of_rows(weight, tokens)),
        [&] { inner_.embedding_forward(stream, out, weight, tokens); });
}

void MeteredBackend::embedding_backward(const Stream& stream, const Tensor& dweight, const Tensor& scratch,
                                        const Tensor& dout, const Tensor& tokens) {
  meter(stream, traffic("embedding backward", bytes_of(dout, tokens) + 2 * bytes_of_rows(dweight, tokens)),
        [&] { inner_.embedding_backward(stream, dweight, scratch, dout, tokens); });
}

// ---- RMSNorm ----

void MeteredBackend::rmsnorm_forward(const Stream& stream, const Tensor& out, const Tensor& rstd, const Tensor& x,
                                     const Tensor& weight, double epsilon) {
  meter(stream, traffic("rmsnorm forward", bytes_of(out, rstd, x, weight)),
        [&] { inner_.rmsnorm_forward(stream, out, rstd, x, weight, epsilon); });
}

void MeteredBackend::rmsnorm_residual_forward(const Stream& stream, const Tensor& sum, const Tensor& out,
                                              const Tensor& rstd, const Tensor& residual, const Tensor& x,
                                              const Tensor& weight, double epsilon) {
  meter(stream, traffic("rmsnorm forward", bytes_of(sum, out, rstd, residual, x, weight)),
        [&] { inner_.rmsnorm_residual_forward(stream, sum, out, rstd, residual, x, weight, epsilon); });
}

void MeteredBackend::rmsnorm_backward(const Stream& stream, const Tensor& dx, const Tensor& dweight,
                                      const Tensor& scratch, const Tensor& dout, const Tensor& x, const Tensor& weight,
                                      const Tensor& rstd) {
  meter(stream, traffic("rmsnorm backward", twice(dx, dweight) + bytes_of(dout, x, weight, rstd)),
        [&] { inner_.rmsnorm_backward(stream, dx, dweight, scratch, dout, x, weight, rstd); });
}

// ---- Linear layer ----

void MeteredBackend::linear_forward(const Stream& stream, const Tensor& out, const Tensor& scratch, const Tensor& x,
                                    const Tensor& weight) {
  meter(stream, product("matrix products forward", x, weight, bytes_of(out, x, weight)),
        [&] { inner_.linear_forward(stream, out, scratch, x, weight); });
}

void MeteredBackend::linear_backward_input(const Stream& stream, const Tensor& dx, const Tensor& scratch,
                                           const Tensor& dout, const Tensor& weight) {
  meter(stream, product("matrix products backward input", dx, weight, bytes_of(dx, dout, weight)),
        [&] { inner_.linear_backward_input(stream, dx, scratch, dout, weight); });
}

void MeteredBackend::linear_backward_weight(const Stream& stream, const Tensor& dweight, const Tensor& scratch,
                                            const Tensor& dout, const Tensor& x) {
  meter(stream, product("matrix products backward weight", x, dweight, twice(dweight) + bytes_of(dout, x)),
        [&] { inner_.linear_backward_weight(stream, dweight, scratch, dout, x); });
}

// ---- SwiGLU ----

void MeteredBackend::swiglu_forward(const Stream& stream, const Tensor& out, const Tensor& gate_up) {
  meter(stream, traffic("swiglu forward", bytes_of(out, gate_up)),
        [&] { inner_.swiglu_forward(stream, out, gate_up); });
}

void MeteredBackend::swiglu_backward(const Stream& stream, const Tensor& dgate_up, const Tensor& out,
                                     const Tensor& dout, const Tensor& gate_up) {
  meter(stream, traffic("swiglu backward", bytes_of(dgate_up, out, dout, gate_up)),
        [&] { inner_.swiglu_backward(stream, dgate_up, out, dout, gate_up); });
}

// ---- Rotary position embedding ----

void MeteredBackend::rope_table(const Stream& stream, const Tensor& cos, const Tensor& sin, const RopeSettings& rope) {
  meter(stream, traffic("rope", bytes_of(cos, sin)), [&] { inner_.rope_table(stream, cos, sin, rope); });
}

void MeteredBackend::rope_forward(const Stream& stream, const Tensor& x, const Tensor& cos, const Tensor& sin) {
  meter(stream, traffic("rope", twice(x) + bytes_of(cos, sin)), [&] { inner_.rope_forward(stream, x, cos, sin); });
}

void MeteredBackend::rope_backward(const Stream& stream, const Tensor& dx, const Tensor& cos, const Tensor& sin) {
  meter(stream, traffic("rope", twice(dx) + bytes_of(cos, sin)), [&] { inner_.rope_backward(stream, dx, cos, sin); });
}

// ---- Causal attention ----

int64_t MeteredBackend::find_documents(const Stream& stream, const Documents& documents, const Tensor& tokens,
                                       int32_t end_of_text) {
  int64_t count = 0;
  meter(stream, traffic("documents found", bytes_of(documents.starts, documents.bounds, tokens)),
        [&] { count = inner_.find_documents(stream, documents, tokens, end_of_text); });
  return count;
}

void MeteredBackend::attention_forward(const Stream& stream, const Tensor& out, const Tensor& lse,
                                       const Tensor& scratch, const Tensor& q, const Tensor& k, const Tensor& v,
                                       const AttentionMask& mask) {
  meter(stream,
        {mask.window > 0 ? "window attention forward" : "attention forward", Work::kAttentionForward,
         causal_attention_flops(q.shape(), mask.window),
         static_cast<double>(bytes_of(out, lse, q, k, v) + bytes_if_given(mask.documents.starts))},
        [&] { inner_.attention_forward(stream, out, lse, scratch, q, k, v, mask); });
}

void MeteredBackend::attention_backward(const Stream& stream, const Tensor& dq, const Tensor& dk, const Tensor& dv,
                                        const Tensor& scratch, const Tensor& dout, const Tensor& out, const Tensor& lse,
                                        const Tensor& q, const Tensor& k, const Tensor& v, const AttentionMask& mask) {
  meter(stream,
        {mask.window > 0 ? "window attention backward" : "attention backward", Work::kAttentionBackward,
         2.5 * causal_attention_flops(q.shape(), mask.window),
         static_cast<double>(bytes_of(dq, dk, dv, dout, out, lse, q, k, v) + bytes_if_given(mask.documents.starts))},
        [&] { inner_.attention_backward(stream, dq, dk, dv, scratch, dout, out, lse, q, k, v, mask); });
}

void MeteredBackend::token_norm_linear(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& norm,
                                       double epsilon, const Tensor& weight) {
  meter(stream, product("norm and product of a token", x, weight, bytes_of(out, x, norm, weight)),
        [&] { inner_.token_norm_linear(stream, out, x, norm, epsilon, weight); });
}

void MeteredBackend::token_norm_swiglu(const Stream& stream, const Tensor& out, const Tensor& x, const Tensor& norm,
                                       double epsilon, const Tensor& gate_up) {
  meter(stream, product("norm, product and swiglu of a token", x, gate_up, bytes_of(out, x, norm, gate_up)),
        [&] { inner_.token_norm_swiglu(stream, out, x, norm, epsilon, gate_up); });
}

void MeteredBackend::token_linear_add(const Stream& stream, const Tensor& sum, const Tensor& x, const Tensor& weight) {
  meter(stream, product("product and sum of a token", x, weight, twice(sum) + bytes_of(x, weight)),
        [&] { inner_.token_linear_add(stream, sum, x, weight); });
}

void MeteredBackend::cache_rows(const Stream& stream, const Tensor& cache, const Tensor& x) {
  meter(stream, traffic("cache rows", twice(x)), [&] { inner_.cache_rows(stream, cache, x); });
}

void MeteredBackend::attention_decode(const Stream& stream, const Tensor& out, const Tensor& k_cache,
                                      const Tensor& v_cache, const Tensor& scratch, const Tensor& qkv,
                                      const Tensor& cos, const Tensor& sin, const Tensor& position, int64_t window) {
  // The position is not known here: a full cache.
  const int64_t rows = window > 0 ? std::min(window, k_cache.size(0)) : k_cache.size(0);
  meter(stream, traffic("attention decode", bytes_of(out, k_cache.slice(0, 0, rows), v_cache.slice(0, 0, rows), qkv)),
        [&] { inner_.attention_decode(stream, out, k_cache, v_cache, scratch, qkv, cos, sin, position, window); });
}

// ---- Lighthouse Attention ----

void MeteredBackend::lighthouse_norm_scores(const Stream& stream, const Tensor& s_q, const Tensor& s_k, const Tensor& q,
                                            const Tensor& k, const LighthouseShape& shape) {
  meter(stream, traffic("lighthouse norm scores", bytes_of(s_q, s_k, q, k)),
        [&] { inner_.lighthouse_norm_scores(stream, s_q, s_k, q, k, shape); });
}

void MeteredBackend::lighthouse_dilated_scores(const Stream& stream, const Tensor& s_q, const Tensor& s_k,
                                               const Tensor& scratch, const Tensor& q, const Tensor& k, const Tensor& v,
                                               int64_t dilation, const LighthouseShape& shape) {
  // Attention from q to k and from k to q, each `dilation` times over a sequence as many times shorter.
  const double flops = 2 * causal_attention_flops(q.shape()) / static_cast<double>(dilation);
  meter(stream,
        {"lighthouse dilated scores", Work::kAttentionForward, flops, static_cast<double>(bytes_of(s_q, s_k, q, k, v))},
        [&] { inner_.lighthouse_dilated_scores(stream, s_q, s_k, scratch, q, k, v, dilation, shape); });
}

void MeteredBackend::lighthouse_select(const Stream& stream, const LighthouseSelection& selection, const Tensor& s_q,
                                       const Tensor& s_k, const LighthouseShape& shape) {
  meter(stream, traffic("lighthouse select", bytes_of(selection.indices, selection.rows, s_q, s_k)),
        [&] { inner_.lighthouse_select(stream, selection, s_q, s_k, shape); });
}

void MeteredBackend::lighthouse_invert(const Stream& stream, const LighthouseSelection& selection,
                                       const LighthouseShape& shape) {
  meter(stream, traffic("lighthouse invert", bytes_of(selection.indices, selection.rows)),
        [&] { inner_.lighthouse_invert(stream, selection, shape); });
}

void MeteredBackend::lighthouse_gather(const Stream& stream, const Tensor& gathered, const Tensor& qkv,
                                       const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                                       const LighthouseShape& shape) {
  meter(stream, traffic("lighthouse gather", bytes_of(gathered, qkv, selection.rows) + bytes_if_given(cos, sin)),
        [&] { inner_.lighthouse_gather(stream, gathered, qkv, selection, cos, sin, shape); });
}

void MeteredBackend::lighthouse_gather_backward(const Stream& stream, const Tensor& dqkv, const Tensor& dgathered,
                                                const LighthouseSelection& selection, const Tensor& cos,
                                                const Tensor& sin, const LighthouseShape& shape,
                                                const Tensor& window_dqkv) {
  meter(stream,
        traffic("lighthouse gather backward",
                bytes_of(dqkv, dgathered, selection.rows) + bytes_if_given(cos, sin, window_dqkv)),
        [&] { inner_.lighthouse_gather_backward(stream, dqkv, dgathered, selection, cos, sin, shape, window_dqkv); });
}

void MeteredBackend::lighthouse_scatter(const Stream& stream, const Tensor& out, const Tensor& gathered,
                                        const LighthouseSelection& selection, const LighthouseShape& shape,
                                        const Tensor& window_out) {
  meter(stream, traffic("lighthouse scatter", bytes_of(out, gathered, selection.rows) + bytes_if_given(window_out)),
        [&] { inner_.lighthouse_scatter(stream, out, gathered, selection, shape, window_out); });
}

void MeteredBackend::lighthouse_scatter_backward(const Stream& stream, const Tensor& dgathered, const Tensor& dout,
                                                 const LighthouseSelection& selection, const LighthouseShape& shape) {
  meter(stream, traffic("lighthouse scatter backward", bytes_of(dgathered, dout, selection.rows)),
        [&] { inner_.lighthouse_scatter_backward(stream, dgathered, dout, selection, shape); });
}

// ---- Loss ----

void MeteredBackend::cross_entropy_forward(const Stream& stream, const Tensor& losses, const Tensor& logits,
                                           const Tensor& targets, int64_t vocab_size) {
  meter(stream, traffic("cross entropy", bytes_of(losses, targets, logits.slice(1, 0, vocab_size))),
        [&] { inner_.cross_entropy_forward(stream, losses, logits, targets, vocab_size); });
}

void MeteredBackend::cross_entropy_forward_backward(const Stream& stream, const Tensor& losses, const Tensor& logits,
                                                    const Tensor& targets, int64_t vocab_size, double scale) {
  // The padding is not read, but written.
  meter(stream, traffic("cross entropy", bytes_of(losses, targets, logits.slice(1, 0, vocab_size), logits)),
        [&] { inner_.cross_entropy_forward_backward(stream, losses, logits, targets, vocab_size, scale); });
}

// ---- Optimizer ----

void MeteredBackend::add_sum(const Stream& stream, const Tensor& sum, const Tensor& scratch, const Tensor& x,
                             double scale) {
  meter(stream, traffic("loss sum", twice(sum) + bytes_of(x)), [&] { inner_.add_sum(stream, sum, scratch, x, scale); });
}

void MeteredBackend::l2_norm(const Stream& stream, const Tensor& norm, const Tensor& scratch, const Tensor& x) {
  meter(stream, traffic("gradient norm", bytes_of(norm, x)), [&] { inner_.l2_norm(stream, norm, scratch, x); });
}

void MeteredBackend::combine_norms(const Stream& stream, const Tensor& norm, const Tensor& norms) {
  meter(stream, traffic("gradient norm", bytes_of(norm, norms)), [&] { inner_.combine_norms(stream, norm, norms); });
}

void MeteredBackend::plan_update(const Stream& stream, const Tensor& scalars, const Tensor& step, double learning_rate,
                                 double max_norm, const AdamSettings& settings) {
  meter(stream, traffic("adamw", bytes_of(scalars) + twice(step)),
        [&] { inner_.plan_update(stream, scalars, step, learning_rate, max_norm, settings); });
}

void MeteredBackend::adamw(const Stream& stream, const Tensor& weight, const Tensor& working, const Tensor& m,
                           const Tensor& v, const Tensor& gradient, const Tensor& scalars,
                           const AdamSettings& settings) {
  // Not defined(): working weights that are only counted have no address.
  const int64_t rounded = working.rank() > 0 ? bytes_of(working) : 0;
  meter(stream, traffic("adamw", twice(weight, m, v) + bytes_of(gradient, scalars) + rounded),
        [&] { inner_.adamw(stream, weight, working, m, v, gradient, scalars, settings); });
}

// ---- A GPU that is not there ----

namespace {

/// Behind it is the CPU, for what happens on the host.
class PlannedCudaBackend final : public MeteredBackend {
 public:
  PlannedCudaBackend(const PlannedCuda& planned, std::unique_ptr<Backend> host)
      : MeteredBackend(*host, Mode::kCount, planned.rates), planned_(planned), host_(std::move(host)) {}

  Device device() const override { return {DeviceKind::kCuda, 0}; }
  DType dtype() const override { return planned_.dtype; }
  std::string description() const override { return planned_.hardware.name + ", planned"; }
  Hardware hardware() const override { return planned_.hardware; }
  int64_t memory_in_use() const override { return 0; }
  int64_t logits_bytes() const override { return cuda_scratch::kLogitsBytes; }
  Memory allocate(int64_t) override { throw std::logic_error("there is no GPU to run on"); }

  int64_t embedding_backward_scratch(int64_t tokens, int64_t hidden_size) const override {
    return cuda_scratch::embedding_backward(tokens, hidden_size);
  }
  int64_t rmsnorm_backward_scratch(int64_t tokens, int64_t hidden_size) const override {
    return cuda_scratch::rmsnorm_backward(tokens, hidden_size);
  }
  int64_t linear_scratch() const override { return cuda_scratch::linear(); }
  int64_t attention_forward_scratch(const Shape& q, int64_t kv_heads, bool documents,
                                    int64_t /*window*/) const override {
    return cuda_scratch::attention_forward(planned_.dtype, q, kv_heads, documents);
  }
  int64_t attention_backward_scratch(const Shape& q, int64_t kv_heads, bool documents, int64_t window) const override {
    return cuda_scratch::attention_backward(planned_.dtype, q, kv_heads, planned_.deterministic,
                                            planned_.attention_workspace, documents, window);
  }
  int64_t attention_decode_scratch(const Shape& cache, int64_t heads) const override {
    return cuda_scratch::attention_decode(cache, heads);
  }
  int64_t lighthouse_dilated_scores_scratch(const Shape& q, int64_t kv_heads, int64_t /*dilation*/,
                                            const LighthouseShape&) const override {
    return cuda_scratch::dilated_scores(planned_.dtype, q, kv_heads);
  }
  int64_t reduction_scratch(int64_t numel) const override { return cuda_scratch::reduction(numel); }

 private:
  PlannedCuda planned_;
  std::unique_ptr<Backend> host_;
};

}  // namespace

std::unique_ptr<MeteredBackend> make_planned_cuda_backend(const PlannedCuda& planned) {
  return std::make_unique<PlannedCudaBackend>(planned, make_cpu_backend());
}

}  // namespace lighthouse
