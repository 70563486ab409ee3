// Figures by which `lighthouse compare` compares runs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lighthouse/train/metrics.h"

namespace lighthouse {

struct StageSummary {
  std::string name;
  AttentionKind attention = AttentionKind::kDense;  // of most steps
  int64_t steps = 0;
  double tokens_per_second = 0;  // mean over all steps
};

/// The training loss around a change of stage, in the attention of each step.
struct SwitchSummary {
  std::string from;
  std::string to;
  int64_t step = 0;                         // the last step of `from`
  double before = 0;                        // mean over the last ten steps of `from`
  double after = 0;                         // loss of the first step of `to`
  std::optional<int64_t> steps_to_recover;  // until the mean over ten steps is `before` or less
  double jump() const { return after - before; }
};

std::vector<StageSummary> summarise_stages(const RunHistory& history);
std::vector<SwitchSummary> summarise_switches(const RunHistory& history);

/// The validation loss in dense attention after this many tokens or seconds of training, interpolated linearly between
/// measurements. Nothing unless the run has measurements on both sides.
std::optional<double> dense_validation_at_tokens(const RunHistory& history, double tokens);
std::optional<double> dense_validation_at_seconds(const RunHistory& history, double seconds);
/// The mean training loss of the ten steps up to there.
std::optional<double> training_loss_at_tokens(const RunHistory& history, double tokens);
std::optional<double> training_loss_at_seconds(const RunHistory& history, double seconds);

/// The largest token count, and the longest time, that all runs have reached.
double common_tokens(const std::vector<RunHistory>& histories);
double common_seconds(const std::vector<RunHistory>& histories);

}  // namespace lighthouse
