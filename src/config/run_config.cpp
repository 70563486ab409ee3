#include "lighthouse/config/run_config.h"

namespace lighthouse {

int64_t RunConfig::total_steps() const {
  int64_t steps = 0;
  for (const StageSection& stage : stages) steps += stage.steps;
  return steps;
}

}  // namespace lighthouse
