// What a run reports: its metrics file and its observer.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lighthouse/train/training_observer.h"

namespace lighthouse {

/// Writes metrics.jsonl and calls the observer. On ranks other than 0 no call does anything. Notes and warnings from
/// before begin() wait until then.
class RunReporter {
 public:
  /// `observer` must outlive the reporter.
  RunReporter(bool is_rank0, std::filesystem::path metrics, TrainingObserver& observer);

  /// The run's first step, counted from 0, and its steps in all.
  void begin(int64_t first_step, int64_t total_steps);
  void step_finished(const StepMetrics& metrics);
  void validated(const ValidationMetrics& metrics);
  void note(const std::string& text);
  void warn(const std::string& text);
  /// Throws InputError unless all metrics are on disk.
  void flush();

 private:
  bool is_rank0_;
  MetricsLog metrics_;
  TrainingObserver& observer_;
  bool begun_ = false;
  std::vector<std::string> early_notes_, early_warnings_;
};

}  // namespace lighthouse
