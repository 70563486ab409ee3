// How a program follows a run.
#pragma once

#include <cstdint>
#include <string>

#include "lighthouse/train/metrics.h"

namespace lighthouse {

/// Receives a run's progress, on rank 0, in the thread that calls Trainer::run().
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  virtual void started(int64_t /*first_step*/, int64_t /*total_steps*/) {}
  virtual void step_finished(const StepMetrics&) {}
  virtual void validated(const ValidationMetrics&) {}
  /// A line for the log: a stage begins, a checkpoint was written.
  virtual void note(const std::string&) {}
  /// A line for the log that the user should act on.
  virtual void warn(const std::string&) {}
};

}  // namespace lighthouse
