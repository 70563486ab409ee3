#include "lighthouse/train/step_cost.h"

#include <numeric>

#include "lighthouse/train/training_step.h"

namespace lighthouse {

namespace {

RunMemory lay_out_sizes(const RunConfig& config, MeteredBackend& counting, const Mesh& mesh) {
  RunMemory memory(config, counting, mesh);
  Arena measuring;
  memory.lay_out(measuring);
  return memory;
}

}  // namespace

std::vector<OperationCost> step_costs(const RunConfig& config, int64_t stage, AttentionKind kind,
                                      MeteredBackend& counting, const Mesh& mesh) {
  RunMemory memory = lay_out_sizes(config, counting, mesh);
  Pass& pass = memory.training_pass(stage, kind);
  const Stream stream;
  counting.reset();
  counting.fill(stream, memory.gradients().flat, 0);
  const int64_t all = config.stages[static_cast<size_t>(stage)].batch.micro_batches();
  const int64_t micro_batches = (all + mesh.data_size() - 1) / mesh.data_size();
  for (int64_t i = 0; i < micro_batches; ++i) add_gradients(stream, counting, memory, pass, 1);
  update_weights(stream, counting, memory, 1);
  return counting.costs();
}

std::vector<OperationCost> update_costs(const RunConfig& config, MeteredBackend& counting) {
  RunMemory memory = lay_out_sizes(config, counting, {});
  counting.reset();
  update_weights(Stream(), counting, memory, 1);
  return counting.costs();
}

double roofline_seconds(const std::vector<OperationCost>& costs) {
  return std::accumulate(costs.begin(), costs.end(), 0.0,
                         [](double sum, const OperationCost& cost) { return sum + cost.roofline_seconds; });
}

}  // namespace lighthouse
