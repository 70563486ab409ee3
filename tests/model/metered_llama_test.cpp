// A step counted from the config alone agrees with the formula of model/cost.h.
#include "lighthouse/kernels/planning.h"
#include "lighthouse/model/cost.h"
#include "lighthouse/ops/cost_meter.h"
#include "model/tiny_llama.h"

namespace lighthouse {
namespace {

/// Flops of forward and backward, counted on a measuring arena, of one kind of work.
double counted_flops(Backend& backend, const ModelConfig& config, const PassSettings& settings, bool products) {
  Llama model(config, settings, backend);
  Arena measuring;
  const Parameters weights = lay_out_parameters(measuring, MemoryUse::kWeights, config, backend.dtype());
  const Parameters gradients = lay_out_parameters(measuring, MemoryUse::kGradients, config);
  const Tensor tokens =
      measuring.allocate(MemoryUse::kBatch, {settings.batch, settings.sequence_length}, DType::kInt32);
  model.lay_out(measuring);
  const Stream stream = backend.compute_stream();
  const CostMeter meter(backend, CostMeter::Mode::kCount);
  model.forward(stream, weights, tokens);
  model.loss_backward(stream, weights, gradients, tokens, 1);
  model.backward(stream, weights, gradients, tokens);
  double flops = 0;
  for (const OperationCost& cost : meter.costs()) {
    if ((cost.work == Work::kProduct) == products) flops += cost.flops;
  }
  return flops;
}

TEST(MeteredLlamaTest, MatchesTheFormula) {
  ModelConfig config = tiny_config();
  config.vocab_size = config.padded_vocab_size();  // the formula does not count padding
  const auto cpu = make_cpu_backend();
  const auto planned = make_planned_cuda_backend({});
  for (Backend* backend : {cpu.get(), planned.get()}) {
    const PassSettings settings = dense_pass(2, 48);
    const double tokens = 2 * 48;
    EXPECT_EQ(counted_flops(*backend, config, settings, true),
              6.0 * static_cast<double>(matrix_parameter_count(config)) * tokens);
    // Forward 2 N C and backward 5 N C: the formula does not count the recomputed scores.
    EXPECT_EQ(counted_flops(*backend, config, settings, false), 2 * tokens * 7.0 * 48 * 32);
    EXPECT_GT(counted_flops(*backend, config, lighthouse_pass(2), true), 0);

    PassSettings window = dense_pass(2, 48);
    window.kind = AttentionKind::kWindow;
    window.attention.window = 10;
    const double pairs = 10 * 11 / 2 + 38 * 10;  // in a sequence; a query sees at most 10 keys
    EXPECT_EQ(counted_flops(*backend, config, window, false), 2 * 2 * 14.0 * pairs * 32) << "forward 4, backward 10";
    PassSettings with_window = lighthouse_pass(2);
    const double without = counted_flops(*backend, config, with_window, false);
    with_window.attention.lighthouse.window = 10;
    EXPECT_EQ(counted_flops(*backend, config, with_window, false) - without, 2 * 2 * 14.0 * (pairs + 16 * 10) * 32);
  }
}

}  // namespace
}  // namespace lighthouse
