#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "golden_case.h"
#include "lighthouse/core/error.h"
#include "lighthouse/ops/transfer.h"
#include "lighthouse/train/memory_plan.h"
#include "lighthouse/train/training_step.h"

namespace lighthouse::golden {
namespace {

constexpr double kLimit = 1e-4;
constexpr double kLossLimitInBFloat16 = 2e-2;  // nats

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

LighthouseSettings lighthouse_of(const Json& l) {
  LighthouseSettings lighthouse;
  lighthouse.levels = l.at("levels");
  lighthouse.pooling_factor = l.at("pooling_factor");
  lighthouse.top_k = l.at("top_k");
  lighthouse.tile = l.at("tile");
  lighthouse.cover_prefix = l.at("cover_prefix");
  lighthouse.dense_layers = l.at("dense_layers").get<std::vector<int64_t>>();
  lighthouse.scorer = scorer_of(l);
  lighthouse.dilation = l.value("dilation", lighthouse.dilation);
  return lighthouse;
}

/// The config of a run of one stage, from the file's settings.
RunConfig run_of(const SafetensorsFile& file, const Json& s) {
  RunConfig config;
  config.model = model_of(s, file);
  config.optimizer = optimizer_of(s.at("adamw"));
  StageSection stage;
  stage.steps = s.at("steps");
  stage.rope_theta = s.at("rope_theta");
  stage.batch = {s.at("N"), s.at("B"), s.at("B")};
  if (s.contains("lighthouse")) {
    stage.attention = AttentionKind::kLighthouse;
    config.attention.lighthouse = lighthouse_of(s.at("lighthouse"));
  }
  config.stages = {stage};
  return config;
}

/// A model, its optimizer and the training step, with the file's weights and tokens.
class GoldenTraining {
 public:
  GoldenTraining(const SafetensorsFile& file, const Json& settings, Backend& backend)
      : file_(file),
        settings_(settings),
        backend_(backend),
        config_(run_of(file, settings)),
        memory_(config_, backend),
        arena_(backend.allocate(planned_bytes(config_, backend))),
        feed_(backend, memory_.largest_batch()),
        step_(memory_, feed_, backend) {
    memory_.lay_out(arena_);
    HostParameters start(config_.model);
    for (const NamedParameter& p : hugging_face_views(start.parameters, config_.model)) {
      copy_elements(p.tensor, file.at("param." + p.name));
    }
    upload(backend, memory_.master_weights().flat, start.parameters.flat);
    memory_.round_weights();
  }

  std::vector<Check> run() {
    check_logits();
    step_.set_gradient_hook([this](const Parameters& gradients) {
      if (losses_.empty()) check_tensors("grad.", gradients);
    });
    for (int64_t step = 0; step < config_.total_steps(); ++step) {
      const auto tokens = windows(step);
      const auto source = [&](std::span<int32_t> to) { std::copy(tokens.begin(), tokens.end(), to.begin()); };
      step_.begin(pass(), config_.stages[0].batch, source, config_.optimizer.learning_rate);
      const StepResult result = step_.finish();
      losses_.push_back(result.loss);
      norms_.push_back(result.gradient_norm);
    }
    const double loss_limit = rounded() ? kLossLimitInBFloat16 : kLimit;
    check_numbers("loss", {losses_.front()}, file_.at("loss"), false, loss_limit);
    check_numbers("train_losses (largest difference)", losses_, file_.at("train_losses"), false, loss_limit);
    if (!rounded()) {
      check_numbers("train_grad_norms (largest, relative)", norms_, file_.at("train_grad_norms"), true, kLimit);
    }
    check_tensors("final.", memory_.master_weights());
    return checks_;
  }

 private:
  /// A set of tensors in host memory.
  struct HostParameters {
    explicit HostParameters(const ModelConfig& model) {
      Arena measuring;
      lay_out_parameters(measuring, MemoryUse::kWeights, model);
      arena = Arena(measuring.used());
      parameters = lay_out_parameters(arena, MemoryUse::kWeights, model);
    }
    Arena arena;
    Parameters parameters;
  };

  Pass& pass() { return memory_.training_pass(0, config_.stages[0].attention); }
  /// In bfloat16 only losses are comparable.
  bool rounded() const { return backend_.dtype() == DType::kBFloat16; }

  /// tokens[step] as int32, from any integer type in the file.
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

  void check_logits() {
    if (rounded()) return;
    const Stream stream = backend_.compute_stream();
    Pass& on = pass();
    feed_.feed(stream, on.inputs, on.targets, windows(0));
    on.model->forward(stream, memory_.weights(), on.inputs);
    const Shape shape{on.inputs.size(0), on.inputs.size(1), config_.model.padded_vocab_size()};
    Arena arena(backend_.allocate(shape.numel() * size_of(DType::kFloat32)));
    const Tensor logits = arena.allocate(MemoryUse::kScratch, {on.inputs.numel(), shape[2]});
    on.model->logits(stream, logits, memory_.weights(), 0);
    std::vector<float> values = download<float>(backend_, logits);
    const Tensor rows = Tensor(values.data(), shape, DType::kFloat32).every(1, 0, settings_.at("logits_stride"));
    checks_.push_back(
        {"logits", relative_error(rows.slice(2, 0, config_.model.vocab_size), file_.at("logits")), kLimit});
  }

  void check_numbers(const std::string& name, const std::vector<double>& actual, const Tensor& reference, bool relative,
                     double limit) {
    double worst = reference.numel() == static_cast<int64_t>(actual.size()) ? 0 : NAN;
    for (size_t i = 0; i < actual.size() && worst == worst; ++i) {
      const double expected =
          reference.dtype() == DType::kFloat64 ? reference.data<double>()[i] : reference.data<float>()[i];
      const double error = std::abs(actual[i] - expected) / (relative ? std::abs(expected) : 1);
      worst = error <= worst ? worst : error;  // keeps a NaN
    }
    checks_.push_back({name, worst, limit});
  }

  void check_tensors(const std::string& prefix, const Parameters& parameters) {
    if (rounded()) return;
    HostParameters host(config_.model);
    const std::vector<float> values = download<float>(backend_, parameters.flat);
    std::copy(values.begin(), values.end(), host.parameters.flat.data<float>());
    for (const NamedParameter& p : hugging_face_views(host.parameters, config_.model)) {
      checks_.push_back({prefix + p.name, relative_error(p.tensor, file_.at(prefix + p.name)), kLimit});
    }
  }

  const SafetensorsFile& file_;
  const Json& settings_;
  Backend& backend_;
  RunConfig config_;
  RunMemory memory_;
  Arena arena_;
  BatchFeed feed_;
  TrainingStep step_;
  std::vector<double> losses_, norms_;
  std::vector<Check> checks_;
};

}  // namespace

std::vector<Check> run_model_case(const SafetensorsFile& file, const Json& settings, Backend& backend) {
  return GoldenTraining(file, settings, backend).run();
}

}  // namespace lighthouse::golden
