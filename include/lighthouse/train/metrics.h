// metrics.jsonl: a line with a JSON object for each step and for each validation.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lighthouse/model/attention/settings.h"

namespace lighthouse {

/// Numbers are written with enough digits to read back the same bits.
struct StepMetrics {
  int64_t step = 0;  // finished steps, from 1
  std::string stage;
  AttentionKind attention = AttentionKind::kDense;
  int64_t tokens = 0;  // trained on so far
  double loss = 0;
  double gradient_norm = 0;
  double learning_rate = 0;
  double tokens_per_second = 0;
  std::optional<double> mfu;  // unknown without the device's peak
  double seconds = 0;         // of training so far, over all resumes, without evaluation and saving
  bool skipped = false;
};

struct ValidationMetrics {
  int64_t step = 0;
  std::string stage;
  int64_t tokens = 0;
  double seconds = 0;
  double loss = 0;        // in the stage's own attention
  double loss_dense = 0;  // in dense attention: comparable between runs
};

/// The content of a metrics.jsonl.
struct RunHistory {
  std::vector<StepMetrics> steps;
  std::vector<ValidationMetrics> validations;
};

/// Reads a metrics.jsonl. The run may still write it: an incomplete last line is ignored. Throws InputError for a
/// missing file and for any other line that cannot be parsed.
RunHistory read_history(const std::filesystem::path& path);

/// Appends to a metrics.jsonl. Lines that a full disk does not take wait in memory and are written with the next one.
class MetricsLog {
 public:
  explicit MetricsLog(std::filesystem::path path);

  void append(const StepMetrics& metrics);
  void append(const ValidationMetrics& metrics);
  /// Writes all waiting lines and syncs the file. Throws InputError if that fails.
  void flush();

 private:
  void append_line(const std::string& line);
  /// Returns false if lines are still waiting.
  bool write_waiting();
  bool sync() const;

  std::filesystem::path path_;
  std::string waiting_;
};

/// Moves the lines after `step` (and an incomplete last line), which a resumed run writes again, from `metrics` to the
/// end of `discarded`. Returns the number of complete lines moved.
int64_t discard_after(const std::filesystem::path& metrics, const std::filesystem::path& discarded, int64_t step);

/// Copies the lines up to `step` to a new file. Throws InputError.
void copy_up_to(const std::filesystem::path& from, const std::filesystem::path& to, int64_t step);

}  // namespace lighthouse
