#include "lighthouse/train/step_cost.h"

#include <numeric>

#include "lighthouse/train/training_step.h"

namespace lighthouse {
namespace {

/// The run's memory without addresses.
RunMemory lay_out_sizes(const RunConfig& config, Backend& backend, const Mesh& mesh) {
  RunMemory memory(config, backend, mesh);
  Arena measuring;
  memory.lay_out(measuring);
  return memory;
}

}  // namespace

std::vector<OperationCost> step_costs(const RunConfig& config, int64_t stage, AttentionKind kind, Backend& backend,
                                      const Rates& rates, const Mesh& mesh) {
  CostMeter meter(backend, CostMeter::Mode::kCount, rates);
  RunMemory memory = lay_out_sizes(config, backend, mesh);
  Pass& pass = memory.training_pass(stage, kind);
  meter.reset();  // the preparation of the pass belongs to no step
  const Stream stream;
  backend.fill(stream, memory.gradients().flat, 0);
  const int64_t all = config.stages[static_cast<size_t>(stage)].batch.micro_batches();
  const int64_t micro_batches = (all + mesh.data_size() - 1) / mesh.data_size();
  for (int64_t i = 0; i < micro_batches; ++i) add_gradients(stream, backend, memory, pass, 1);
  update_weights(stream, backend, memory, 1);
  return meter.costs();
}

std::vector<OperationCost> update_costs(const RunConfig& config, Backend& backend, const Rates& rates) {
  const CostMeter meter(backend, CostMeter::Mode::kCount, rates);
  RunMemory memory = lay_out_sizes(config, backend, {});
  update_weights(Stream(), backend, memory, 1);
  return meter.costs();
}

double roofline_seconds(const std::vector<OperationCost>& costs) {
  return std::accumulate(costs.begin(), costs.end(), 0.0,
                         [](double sum, const OperationCost& cost) { return sum + cost.roofline_seconds; });
}

}  // namespace lighthouse
