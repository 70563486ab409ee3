#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "golden_case.h"
#include "lighthouse/core/error.h"
#include "lighthouse/data/batch.h"
#include "lighthouse/model/llama.h"
#include "lighthouse/train/adamw.h"

namespace lighthouse::golden {
namespace {

constexpr double kLimit = 1e-4;

ModelConfig model_of(const Json& s, const SafetensorsFile& file) {
  ModelConfig config;
  config.vocab_size = s.at("vocab_size");
  config.hidden_size = s.at("hidden_size");
  config.intermediate_size = s.at("intermediate_size");
  config.num_hidden_layers = s.at("layers");
  config.num_attention_heads = s.at("heads");
  config.num_key_value_heads = s.at("kv_heads");
  config.rope_theta = s.at("rope_theta");
  config.rms_norm_eps = s.at("rms_norm_eps");
  config.tie_word_embeddings = !file.has("param.lm_head.weight");
  return config;
}

OptimizerSection optimizer_of(const Json& s) {
  OptimizerSection optimizer;
  optimizer.learning_rate = s.at("lr");
  optimizer.beta1 = s.at("beta1");
  optimizer.beta2 = s.at("beta2");
  optimizer.epsilon = s.at("eps");
  optimizer.weight_decay = s.at("weight_decay");
  optimizer.clip_grad_norm = s.value("clip_grad_norm", 0.0);
  return optimizer;
}

PassSettings pass_of(const Json& s) {
  PassSettings pass;
  pass.batch = s.at("B");
  pass.sequence_length = s.at("N");
  pass.rope_theta = s.at("rope_theta");
  if (!s.contains("lighthouse")) return pass;
  const Json& l = s.at("lighthouse");
  pass.attention = AttentionKind::kLighthouse;
  pass.lighthouse.levels = l.at("levels");
  pass.lighthouse.pooling_factor = l.at("pooling_factor");
  pass.lighthouse.top_k = l.at("top_k");
  pass.lighthouse.tile = l.at("tile");
  pass.lighthouse.cover_prefix = l.at("cover_prefix");
  pass.lighthouse.dense_layers = l.at("dense_layers").get<std::vector<int64_t>>();
  pass.lighthouse.scorer = scorer_of(l);
  pass.lighthouse.dilation = l.value("dilation", pass.lighthouse.dilation);
  return pass;
}

/// A model, its gradients, its optimizer and one batch, trained as the file says.
class GoldenTraining {
 public:
  GoldenTraining(const SafetensorsFile& file, const Json& settings, Backend& backend)
      : file_(file),
        settings_(settings),
        backend_(backend),
        config_(model_of(settings, file)),
        optimizer_settings_(optimizer_of(settings.at("adamw"))),
        model_(config_, pass_of(settings), backend),
        optimizer_(optimizer_settings_, backend) {
    Arena measuring;
    lay_out(measuring);
    arena_ = Arena(measuring.used());
    lay_out(arena_);
    model_.prepare(stream_);
    for (const NamedParameter& p : hugging_face_views(weights_, config_)) {
      copy_elements(p.tensor, file.at("param." + p.name));
    }
  }

  std::vector<Check> run() {
    const int64_t steps = settings_.at("steps");
    std::vector<double> losses;
    std::vector<double> norms;
    for (int64_t step = 0; step < steps; ++step) {
      losses.push_back(forward_backward(step));
      norms.push_back(gradient_norm());
      if (step == 0) check_first_step(losses.front());
      const double clip = optimizer_settings_.clip_grad_norm;
      const double scale = clip > 0 && norms.back() > clip ? clip / norms.back() : 1;
      optimizer_.step(stream_, weights_, gradients_, optimizer_settings_.learning_rate, scale);
    }
    check_numbers("train_losses (largest difference)", losses, file_.at("train_losses"), false);
    check_numbers("train_grad_norms (largest, relative)", norms, file_.at("train_grad_norms"), true);
    check_tensors("final.", weights_);
    return checks_;
  }

 private:
  void lay_out(Arena& arena) {
    const Shape tokens{settings_.at("B").get<int64_t>(), settings_.at("N").get<int64_t>()};
    weights_ = lay_out_parameters(arena, MemoryUse::kWeights, config_);
    gradients_ = lay_out_parameters(arena, MemoryUse::kGradients, config_);
    optimizer_.lay_out(arena, config_);
    inputs_ = arena.allocate(MemoryUse::kBatch, tokens, DType::kInt32);
    targets_ = arena.allocate(MemoryUse::kBatch, tokens, DType::kInt32);
    norm_ = arena.allocate(MemoryUse::kScratch, {1}, DType::kFloat64);
    norm_scratch_ =
        arena.allocate(MemoryUse::kScratch, {backend_.l2_norm_scratch(gradients_.flat.numel())}, DType::kUInt8);
    logits_ = arena.allocate(MemoryUse::kScratch, {tokens.numel(), config_.padded_vocab_size()});
    model_.lay_out(arena);
  }

  /// tokens[step] as int32, whatever the file holds them in.
  std::vector<int32_t> windows(int64_t step) const {
    const Tensor& all = file_.at("tokens");
    const int64_t count = all.size(1) * all.size(2);
    std::vector<int32_t> tokens;
    for (int64_t i = step * count; i < (step + 1) * count; ++i) {
      tokens.push_back(all.dtype() == DType::kInt64 ? static_cast<int32_t>(all.data<int64_t>()[i])
                                                    : all.data<int32_t>()[i]);
    }
    return tokens;
  }

  double forward_backward(int64_t step) {
    split_windows(windows(step), inputs_, targets_);
    backend_.fill(stream_, gradients_.flat, 0);
    model_.forward(stream_, weights_, inputs_);
    if (step == 0) model_.logits(stream_, logits_, weights_, 0);
    model_.loss_backward(stream_, weights_, gradients_, targets_, 1.0 / static_cast<double>(inputs_.numel()));
    model_.backward(stream_, weights_, gradients_, inputs_);
    const float* losses = model_.losses().data<float>();
    return std::accumulate(losses, losses + model_.losses().numel(), 0.0) / static_cast<double>(inputs_.numel());
  }

  double gradient_norm() {
    backend_.l2_norm(stream_, norm_, norm_scratch_, gradients_.flat);
    return *norm_.data<double>();
  }

  void check_first_step(double loss) {
    check_numbers("loss", {loss}, file_.at("loss"), false);
    const int64_t stride = settings_.at("logits_stride");
    const Tensor rows = logits_.view({inputs_.size(0), inputs_.size(1), config_.padded_vocab_size()});
    const Tensor strided = rows.every(1, 0, stride).slice(2, 0, config_.vocab_size);
    checks_.push_back({"logits", relative_error(strided, file_.at("logits")), kLimit});
    check_tensors("grad.", gradients_);
  }

  void check_numbers(const std::string& name, const std::vector<double>& actual, const Tensor& reference,
                     bool relative) {
    double worst = reference.numel() == static_cast<int64_t>(actual.size()) ? 0 : NAN;
    for (size_t i = 0; i < actual.size() && worst == worst; ++i) {
      const double expected =
          reference.dtype() == DType::kFloat64 ? reference.data<double>()[i] : reference.data<float>()[i];
      const double error = std::abs(actual[i] - expected) / (relative ? std::abs(expected) : 1);
      worst = error <= worst ? worst : error;  // a NaN stays
    }
    checks_.push_back({name, worst, kLimit});
  }

  void check_tensors(const std::string& prefix, const Parameters& parameters) {
    for (const NamedParameter& p : hugging_face_views(parameters, config_)) {
      checks_.push_back({prefix + p.name, relative_error(p.tensor, file_.at(prefix + p.name)), kLimit});
    }
  }

  const SafetensorsFile& file_;
  const Json& settings_;
  Backend& backend_;
  Stream stream_;
  ModelConfig config_;
  OptimizerSection optimizer_settings_;
  Llama model_;
  AdamW optimizer_;
  Arena arena_;
  Parameters weights_, gradients_;
  Tensor inputs_, targets_, norm_, norm_scratch_, logits_;
  std::vector<Check> checks_;
};

}  // namespace

std::vector<Check> run_model_case(const SafetensorsFile& file, const Json& settings, Backend& backend) {
  return GoldenTraining(file, settings, backend).run();
}

}  // namespace lighthouse::golden
