#include "lighthouse/train/run_reporter.h"

namespace lighthouse {

RunReporter::RunReporter(bool is_rank0, std::filesystem::path metrics, TrainingObserver& observer)
    : is_rank0_(is_rank0), metrics_(std::move(metrics)), observer_(observer) {}

void RunReporter::begin(int64_t first_step, int64_t total_steps) {
  begun_ = true;
  for (const std::string& text : early_warnings_) warn(text);
  for (const std::string& text : early_notes_) note(text);
  if (is_rank0_) observer_.started(first_step, total_steps);
}

void RunReporter::step_finished(const StepMetrics& metrics) {
  if (!is_rank0_) return;
  metrics_.append(metrics);
  observer_.step_finished(metrics);
}

void RunReporter::validated(const ValidationMetrics& metrics) {
  if (!is_rank0_) return;
  metrics_.append(metrics);
  observer_.validated(metrics);
}

void RunReporter::note(const std::string& text) {
  if (!begun_) return early_notes_.push_back(text);
  if (is_rank0_) observer_.note(text);
}

void RunReporter::warn(const std::string& text) {
  if (!begun_) return early_warnings_.push_back(text);
  if (is_rank0_) observer_.warn(text);
}

void RunReporter::flush() {
  if (is_rank0_) metrics_.flush();
}

}  // namespace lighthouse
