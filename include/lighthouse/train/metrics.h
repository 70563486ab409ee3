// metrics.jsonl: one JSON object a line, one line a step, and lines for validation.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lighthouse/model/attention/settings.h"

namespace lighthouse {

/// Numbers are written so that they read back to the same bits.
struct StepMetrics {
  int64_t step = 0;  // finished updates, from 1
  std::string stage;
  AttentionKind attention = AttentionKind::kDense;
  int64_t tokens = 0;  // trained on so far
  double loss = 0;
  double gradient_norm = 0;
  double learning_rate = 0;
  double tokens_per_second = 0;
  std::optional<double> mfu;  // if the device's peak is known
  double seconds = 0;         // of training so far, over all resumes; evaluation and saving not counted
  bool skipped = false;
};

struct ValidationMetrics {
  int64_t step = 0;
  std::string stage;
  int64_t tokens = 0;
  double seconds = 0;
  double loss = 0;        // in the stage's own attention
  double loss_dense = 0;  // in dense attention: the honest figure
};

/// What a metrics.jsonl holds.
struct RunHistory {
  std::vector<StepMetrics> steps;
  std::vector<ValidationMetrics> validations;
};

/// Reads a metrics.jsonl, of a run that may be going on: a torn last line is passed over. Throws InputError for a
/// missing file or a broken line elsewhere.
RunHistory read_history(const std::filesystem::path& path);

/// Appends to a metrics.jsonl. If the disk is full the lines wait in memory and are tried again with the next.
class MetricsLog {
 public:
  explicit MetricsLog(std::filesystem::path path);

  void append(const StepMetrics& metrics);
  void append(const ValidationMetrics& metrics);
  /// Sees to it that all lines are on disk. Throws InputError if it does not take them.
  void flush();

 private:
  void append_line(const std::string& line);
  bool write_waiting();
  bool sync() const;

  std::filesystem::path path_;
  std::string waiting_;
};

/// Moves the lines after `step` (and a torn last line) from `metrics` to the end of `discarded`: what a resumed run
/// will write again. Returns how many.
int64_t discard_after(const std::filesystem::path& metrics, const std::filesystem::path& discarded, int64_t step);

/// Copies the lines up to `step` to a new file.
void copy_up_to(const std::filesystem::path& from, const std::filesystem::path& to, int64_t step);

}  // namespace lighthouse
