#include "lighthouse/report/comparison_sentences.h"

#include <fmt/format.h>

#include <cmath>

#include "lighthouse/core/text.h"

namespace lighthouse {
namespace {

/// A run's last validation.
struct End {
  std::string name;
  double loss = 0;  // in dense attention
  int64_t tokens = 0;
  double seconds = 0;

  explicit End(const ReportedRun& run)
      : name(run.name),
        loss(run.history.validations.back().loss_dense),
        tokens(run.history.validations.back().tokens),
        seconds(run.history.validations.back().seconds) {}

  std::string text() const {
    return fmt::format("{:.3f} nats per token in dense attention after {} tokens and {} of training", loss,
                       format_count(tokens), format_seconds(seconds));
  }
};

std::string comparison_of(const End& first, const End& other) {
  std::string text = fmt::format("{} ends at {}; {} at {}.", first.name, first.text(), other.name, other.text());
  if (first.tokens != other.tokens) return text;
  const double share = first.seconds / other.seconds, lead = other.loss - first.loss;
  if (std::abs(lead) < 0.0005) {
    return text + fmt::format(" With the same tokens both models are equally good, and {} took {:.2f} of the time.",
                              first.name, share);
  }
  return text + fmt::format(" With the same tokens {} is the {} model by {:.3f} nats per token, in {:.2f} of the time.",
                            first.name, lead > 0 ? "better" : "worse", std::abs(lead), share);
}

}  // namespace

std::vector<std::string> comparison_sentences(const std::vector<ReportedRun>& runs) {
  std::vector<std::string> sentences;
  for (size_t i = 1; i < runs.size(); ++i) {
    if (runs[0].history.validations.empty() || runs[i].history.validations.empty()) continue;
    sentences.push_back(comparison_of(End(runs[0]), End(runs[i])));
  }
  return sentences;
}

}  // namespace lighthouse
