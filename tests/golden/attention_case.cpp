#include <fmt/format.h>

#include "golden_case.h"
#include "lighthouse/core/arena.h"
#include "lighthouse/core/error.h"
#include "lighthouse/model/attention/lighthouse.h"
#include "lighthouse/ops/backend.h"
#include "lighthouse/ops/transfer.h"

namespace lighthouse::golden {
namespace {

constexpr double kLimit = 5e-6;
constexpr double kLimitInBFloat16 = 5e-3, kRowLimitInBFloat16 = 3e-2;
// Attention's backward pass computes the sum of dout * out from an output rounded to bfloat16. This adds one error for
// each row, the same for all of its keys; short rows of eight or sixteen elements average little of the rest.
constexpr double kRowLimitOfSmallHeads = 8e-2;
constexpr int64_t kSmallHead = 32;
// Different orders of summation may round to neighbouring bfloat16 numbers.
constexpr double kBFloat16Step = 1.0 / 128;

AttentionShape shape_of(const Json& s) {
  return {s.at("B"), s.at("N"), s.at("H"), s.value("kv_heads", s.at("H").get<int64_t>()), s.at("D")};
}

/// Files without "kind" contain Lighthouse layers.
LayerAttention layer_of(const Json& s) {
  const AttentionKind kind = attention_kind_of(s.value("attention", "lighthouse"));
  if (s.value("merge", "mean") != "mean") throw InputError("merge is not \"mean\"; expected \"mean\"");
  return {kind, s.value("window", int64_t{0})};
}

LighthouseSettings lighthouse_of(const Json& s) {
  LighthouseSettings settings;
  if (layer_of(s).kind != AttentionKind::kLighthouse) return settings;
  settings.levels = s.at("L");
  settings.pooling_factor = s.at("p");
  settings.top_k = s.at("k");
  settings.tile = s.at("tile");
  settings.cover_prefix = s.at("cover_prefix");
  settings.scorer = scorer_of(s);
  if (settings.scorer == Scorer::kDilated) settings.dilation = s.at("dilation");
  settings.dense_layers.clear();
  return settings;
}

/// The file's q, k, v as a fused qkv, and dout, in the layer's layout, in host memory.
struct Inputs {
  Inputs(const SafetensorsFile& file, const AttentionShape& shape) {
    Arena measuring;
    lay_out(measuring, shape);
    arena = Arena(measuring.used());
    lay_out(arena, shape);
    const QkvViews in(qkv, shape);
    copy_elements(in.q, file.at("q"));
    copy_elements(in.k, file.at("k"));
    copy_elements(in.v, file.at("v"));
    copy_elements(dout, file.at("dout").transpose(1, 2));
  }

  void lay_out(Arena& in, const AttentionShape& shape) {
    qkv = in.allocate(MemoryUse::kActivations, {shape.batch, shape.sequence_length, shape.qkv_size()});
    dout = in.allocate(MemoryUse::kActivations, {shape.batch, shape.sequence_length, shape.heads, shape.head_dim});
  }

  Arena arena;
  Tensor qkv, dout;
};

/// One layer on a device, with inputs and outputs in the device's type.
class Layer {
 public:
  Layer(const LayerAttention& layer, const AttentionShape& shape, const LighthouseSettings& settings,
        const Inputs& inputs, Backend& backend)
      : shape_(shape),
        settings_(settings),
        backend_(backend),
        attention_(make_attention(layer, settings, shape, rope_, backend)),
        lighthouse_(dynamic_cast<LighthouseAttention*>(attention_.get())) {
    Arena measuring;
    lay_out(measuring);
    arena_ = Arena(backend.allocate(measuring.used()));
    lay_out(arena_);
    // q and k are already rotated, so use the identity rotation.
    backend.fill(stream(), rope_.cos, 1);
    backend.fill(stream(), rope_.sin, 0);
    upload_rounded(backend, qkv_, inputs.qkv);
    upload_rounded(backend, dout_, inputs.dout);
  }

  /// Whether the layer selects entries, as a Lighthouse layer does.
  bool selects() const { return lighthouse_ != nullptr; }
  std::vector<int32_t> select() {
    lighthouse_->select(stream(), qkv_);
    return indices();
  }
  std::vector<int32_t> indices() { return download<int32_t>(backend_, lighthouse_->indices()); }
  void use_indices(const Tensor& indices) { upload(backend_, lighthouse_->indices(), indices); }

  /// Uses the current indices, if the layer selects.
  void run() {
    if (selects()) {
      lighthouse_->attend(stream(), out_, qkv_);
    } else {
      attention_->forward(stream(), out_, qkv_);
    }
    attention_->backward(stream(), dqkv_, dout_, out_, qkv_);
  }
  std::vector<float> out() { return download<float>(backend_, out_); }
  std::vector<float> dqkv() { return download<float>(backend_, dqkv_); }

  /// Scores of the levels above 0, from the unrotated q and k.
  std::pair<std::vector<float>, std::vector<float>> scores() {
    const LighthouseShape pyramid = settings_.shape(shape_.sequence_length);
    const QkvViews in(qkv_, shape_);
    if (settings_.scorer == Scorer::kNorm) {
      backend_.lighthouse_norm_scores(stream(), s_q_, s_k_, in.q, in.k, pyramid);
    } else {
      backend_.lighthouse_dilated_scores(stream(), s_q_, s_k_, scratch_, in.q, in.k, in.v, settings_.dilation, pyramid);
    }
    return {download<float>(backend_, s_q_), download<float>(backend_, s_k_)};
  }
  const Shape& scores_shape() const { return s_q_.shape(); }

 private:
  Stream stream() const { return backend_.compute_stream(); }

  void lay_out(Arena& arena) {
    const int64_t n = shape_.sequence_length;
    const LighthouseShape pyramid = settings_.shape(n);
    const Shape heads{shape_.batch, n, shape_.heads, shape_.head_dim};
    const auto take = [&](const Shape& shape, DType type) {
      return arena.allocate(MemoryUse::kActivations, shape, type);
    };
    rope_ = {take({n, shape_.head_dim / 2}, DType::kFloat32), take({n, shape_.head_dim / 2}, DType::kFloat32)};
    for (Tensor* fused : {&qkv_, &dqkv_}) *fused = take({shape_.batch, n, shape_.qkv_size()}, backend_.dtype());
    for (Tensor* full : {&out_, &dout_}) *full = take(heads, backend_.dtype());
    if (selects()) {
      for (Tensor* scores : {&s_q_, &s_k_}) {
        *scores = take({shape_.batch, shape_.kv_heads, pyramid.scored_entries()}, DType::kFloat32);
      }
      scratch_ = take({backend_.lighthouse_dilated_scores_scratch(heads, shape_.kv_heads, settings_.dilation, pyramid)},
                      DType::kUInt8);
    }
    attention_->lay_out_kept(arena);
    attention_->lay_out_recomputed(arena);
    attention_->lay_out_scratch(arena);
  }

  AttentionShape shape_;
  LighthouseSettings settings_;
  Backend& backend_;
  RopeTable rope_;
  std::unique_ptr<Attention> attention_;
  LighthouseAttention* lighthouse_;  // attention_ if that is a Lighthouse layer, else null
  Arena arena_;
  Tensor qkv_, dqkv_, out_, dout_, s_q_, s_k_, scratch_;
};

Check compare_indices(const std::vector<int32_t>& actual, const std::vector<int32_t>& reference) {
  double different = 0;
  for (size_t i = 0; i < actual.size(); ++i) different += actual[i] != reference[i];
  return {"indices (number that differ)", different, 0};
}

/// The scores of the levels above 0, if the file has them.
void check_scores(std::vector<Check>& checks, const SafetensorsFile& file, Layer& layer, int64_t length) {
  if (!file.has("scores_qk") || !file.has("scores_kq")) return;
  auto [s_q, s_k] = layer.scores();
  const auto check = [&](const char* name, std::vector<float>& scores) {
    const Tensor& all = file.at(name);
    const Tensor actual(scores.data(), layer.scores_shape(), DType::kFloat32);
    checks.push_back({name, relative_error(actual, all.slice(2, length, all.size(2))), kLimit});
  };
  check("scores_qk", s_q);
  check("scores_kq", s_k);
}

/// What a layer computes on its way that later operations take as inputs, in host memory.
struct Intermediates {
  std::vector<float> gathered, gathered_out, d_gathered_out, window_out;
};

/// Keeps the intermediate results of a device, as long as it lives.
class Recorder final : public OperationObserver {
 public:
  explicit Recorder(Backend& device) : device_(device) { device.set_observer(this); }
  ~Recorder() override { device_.set_observer(nullptr); }
  const Intermediates& recorded() const { return recorded_; }

  void observe(const Stream&, const Operation& operation, const std::function<void()>& run) override {
    run();
    std::vector<float>* const kept = place_of(operation.kind);
    if (kept != nullptr) *kept = download<float>(device_, operation.writes.front());
  }

 private:
  std::vector<float>* place_of(const std::string& kind) {
    if (kind == "lighthouse gather") return &recorded_.gathered;
    if (kind == "attention forward") return &recorded_.gathered_out;
    if (kind == "window attention forward") return &recorded_.window_out;
    if (kind == "lighthouse scatter backward") return &recorded_.d_gathered_out;
    return nullptr;
  }

  Backend& device_;
  Intermediates recorded_;
};

/// The CPU with its results rounded to bfloat16 wherever the specification rounds (section 5: every mean and sum once):
/// the remaining difference is the arithmetic's. Each operation takes the device's inputs, because a mean that two
/// orders of summation round to neighbours moves single rows of attention, where logits are large, by more than a good
/// kernel's error. The device's inputs are checked separately.
class RoundingCpu final : public OperationObserver {
 public:
  explicit RoundingCpu(Backend& cpu) : cpu_(cpu) { cpu.set_observer(this); }
  ~RoundingCpu() override { cpu_.set_observer(nullptr); }
  /// `device` must outlive the operations that follow.
  void follow(const Intermediates& device, double row_limit) {
    device_ = &device;
    row_limit_ = row_limit;
  }
  const std::vector<Check>& checks() const { return checks_; }

  void observe(const Stream&, const Operation& operation, const std::function<void()>& run) override {
    run();
    const std::string& kind = operation.kind;
    const std::vector<Tensor>& results = operation.writes;
    if (kind.ends_with("attention backward")) {
      for (const Tensor& gradient : results) round_to_bfloat16(gradient);
    } else if (kind.ends_with("attention forward") || kind.starts_with("lighthouse gather") ||
               kind.starts_with("lighthouse scatter")) {
      round_to_bfloat16(results.front());  // lse is not rounded
    }
    if (kind == "lighthouse gather") take("gathered rows", results[0], device_->gathered, kBFloat16Step);
    if (kind == "window attention forward") {
      take("attention in the window", results[0], device_->window_out, row_limit_);
    }
    if (kind == "attention forward") {
      take("attention over gathered rows", results[0], device_->gathered_out, row_limit_);
    }
    if (kind == "lighthouse scatter backward") {
      take("gradient of attention over gathered rows", results[0], device_->d_gathered_out, kBFloat16Step);
    }
  }

 private:
  /// Compares `own` with the device's, and replaces it.
  void take(const char* name, const Tensor& own, std::vector<float> device, double limit) {
    const Tensor other(device.data(), own.shape(), DType::kFloat32);
    checks_.push_back({std::string(name) + ", worst row", worst_row_error(other, own), limit});
    copy_elements(own, other);
  }

  Backend& cpu_;
  const Intermediates* device_ = nullptr;
  double row_limit_ = 0;
  std::vector<Check> checks_;
};

/// Outputs of a layer, in host memory.
struct Outputs {
  std::vector<float> out, dqkv;

  explicit Outputs(Layer& layer) {
    layer.run();
    out = layer.out();
    dqkv = layer.dqkv();
  }
  Tensor out_as(const AttentionShape& s) {
    return {out.data(), {s.batch, s.sequence_length, s.heads, s.head_dim}, DType::kFloat32};
  }
  QkvViews dqkv_as(const AttentionShape& s) {
    return {Tensor(dqkv.data(), {s.batch, s.sequence_length, s.qkv_size()}, DType::kFloat32), s};
  }
};

/// Compares a Lighthouse layer's selection with the reference's; later steps use the given entries.
void select(std::vector<Check>& checks, Layer& layer, const Tensor& reference, bool use_reference) {
  const int32_t* expected = reference.data<int32_t>();
  checks.push_back(compare_indices(layer.select(), {expected, expected + reference.numel()}));
  if (use_reference) layer.use_indices(reference);
}

/// In bfloat16 the reference is the CPU on the same rounded inputs, operation by operation: the file's outputs come of
/// others.
std::vector<Check> run_rounded(const SafetensorsFile& file, const LayerAttention& attention,
                               const AttentionShape& shape, const LighthouseSettings& settings,
                               const RunOptions& options, Backend& backend) {
  const Inputs inputs(file, shape);
  round_to_bfloat16(inputs.qkv);
  round_to_bfloat16(inputs.dout);
  const auto cpu = make_cpu_backend();
  RoundingCpu rounding(*cpu);
  Recorder recorder(backend);
  Layer reference(attention, shape, settings, inputs, *cpu), layer(attention, shape, settings, inputs, backend);
  std::vector<Check> checks;
  if (layer.selects()) {
    std::vector<int32_t> indices = reference.select();
    // Scores of dilated attention in bfloat16 differ from the CPU's.
    if (settings.scorer == Scorer::kNorm) checks.push_back(compare_indices(layer.select(), indices));
    const Shape index_shape{shape.batch, shape.kv_heads, settings.shape(shape.sequence_length).gathered()};
    const Tensor used = options.indices_from_file ? file.at("indices", index_shape, DType::kInt32)
                                                  : Tensor(indices.data(), index_shape, DType::kInt32);
    reference.use_indices(used);
    layer.use_indices(used);
  }
  Outputs actual(layer);
  const double row_limit = shape.head_dim < kSmallHead ? kRowLimitOfSmallHeads : kRowLimitInBFloat16;
  rounding.follow(recorder.recorded(), row_limit);
  Outputs expected(reference);
  checks.insert(checks.end(), rounding.checks().begin(), rounding.checks().end());
  const QkvViews d = actual.dqkv_as(shape), e = expected.dqkv_as(shape);
  const auto check = [&](const char* name, const Tensor& a, const Tensor& r) {
    checks.push_back({name, relative_error(a, r), kLimitInBFloat16});
    checks.push_back({std::string(name) + ", worst row", worst_row_error(a, r), row_limit});
  };
  check("out", actual.out_as(shape), expected.out_as(shape));
  check("dq", d.q, e.q);
  check("dk", d.k, e.k);
  check("dv", d.v, e.v);
  return checks;
}

}  // namespace

std::vector<Check> run_attention_case(const SafetensorsFile& file, const Json& json, const RunOptions& options,
                                      Backend& backend) {
  const LayerAttention attention = layer_of(json);
  const AttentionShape shape = shape_of(json);
  const LighthouseSettings settings = lighthouse_of(json);
  if (backend.dtype() == DType::kBFloat16) return run_rounded(file, attention, shape, settings, options, backend);
  const Inputs inputs(file, shape);
  Layer layer(attention, shape, settings, inputs, backend);
  std::vector<Check> checks;
  if (layer.selects()) {
    check_scores(checks, file, layer, shape.sequence_length);
    const Shape index_shape{shape.batch, shape.kv_heads, settings.shape(shape.sequence_length).gathered()};
    select(checks, layer, file.at("indices", index_shape, DType::kInt32), options.indices_from_file);
  }
  Outputs outputs(layer);
  const QkvViews d = outputs.dqkv_as(shape);
  const auto check = [&](const char* name, const Tensor& actual, const Tensor& reference) {
    checks.push_back({name, relative_error(actual, reference), kLimit});
  };
  check("out", outputs.out_as(shape), file.at("out").transpose(1, 2));
  check("dq", d.q, file.at("dq"));
  check("dk", d.k, file.at("dk"));
  check("dv", d.v, file.at("dv"));
  return checks;
}

}  // namespace lighthouse::golden
