// What `lighthouse compare` says about runs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lighthouse/train/metrics.h"

namespace lighthouse {

struct StageSummary {
  std::string name;
  AttentionKind attention = AttentionKind::kDense;  // of most of its steps
  int64_t steps = 0;
  double tokens_per_second = 0;  // tokens over seconds of all its steps
};

/// The loss around a change of stage. Losses are of training, in the attention of their step.
struct SwitchSummary {
  std::string from;
  std::string to;
  int64_t step = 0;                         // the last of `from`
  double before = 0;                        // mean over the last steps of `from`
  double after = 0;                         // of the first step of `to`
  std::optional<int64_t> steps_to_recover;  // until a mean over as many steps is back at `before`
  double jump() const { return after - before; }
};

std::vector<StageSummary> summarise_stages(const RunHistory& history);
std::vector<SwitchSummary> summarise_switches(const RunHistory& history);

/// A loss where a run had trained on so many tokens, or for so many seconds; between measurements linear. Nothing if
/// the run has no measurement on either side.
std::optional<double> dense_validation_at_tokens(const RunHistory& history, double tokens);
std::optional<double> dense_validation_at_seconds(const RunHistory& history, double seconds);
/// Mean training loss of the ten steps up to there.
std::optional<double> training_loss_at_tokens(const RunHistory& history, double tokens);
std::optional<double> training_loss_at_seconds(const RunHistory& history, double seconds);

/// The largest token count, and the longest time, that all runs have reached: where they can be compared.
double common_tokens(const std::vector<RunHistory>& histories);
double common_seconds(const std::vector<RunHistory>& histories);

}  // namespace lighthouse
