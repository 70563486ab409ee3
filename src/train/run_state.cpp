#include "lighthouse/train/run_state.h"

#include <fmt/format.h>

#include "lighthouse/config/load.h"
#include "lighthouse/core/checksum.h"
#include "lighthouse/data/tokenizer.h"
#include "lighthouse/train/schedule.h"
#include "stage_data.h"

namespace lighthouse {
namespace {

std::string environment_of(const Backend& backend, const Ranks& ranks) {
  std::string one_rank =
      fmt::format("program {}; g++ {}; {}", checksum_of_file("/proc/self/exe"), __VERSION__, backend.description());
  if (!ranks.world) return one_rank;
  return fmt::format("{}; ranks {}, {}", one_rank, ranks.mesh.size(), ranks.world->description());
}

}  // namespace

RunProvenance provenance_of(const RunConfig& config, const Backend& backend, const Ranks& ranks) {
  return {fingerprint_data(*ranks.group, config), tokenizer_digest(config.model.tokenizer),
          environment_of(backend, ranks)};
}

CheckpointState checkpoint_state(const RunConfig& config, const RunProvenance& provenance, const RunPosition& position,
                                 int64_t optimizer_updates) {
  CheckpointState state;
  state.step = position.steps;
  state.stage = config.stages[static_cast<size_t>(stage_of_step(config, position.steps - 1).stage)].name;
  state.tokens = position.tokens;
  state.seconds = position.seconds;
  state.optimizer_updates = optimizer_updates;
  state.skipped_in_a_row = position.skipped_in_a_row;
  state.end_of_stage = ends_stage(config, position.steps);
  state.evaluation_pending = position.evaluation_pending;
  state.loader = position.sources;
  state.data = provenance.data;
  state.seed = config.run.seed;
  state.config = to_yaml(config);
  state.tokenizer = provenance.tokenizer;
  state.environment = provenance.environment;
  return state;
}

}  // namespace lighthouse
