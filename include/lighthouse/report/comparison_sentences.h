// A comparison of runs in sentences.
#pragma once

#include <string>
#include <vector>

#include "lighthouse/report/comparison_tables.h"

namespace lighthouse {

/// One paragraph for each run after the first. It has the validation loss in dense attention, the tokens and the
/// training time of the first run and of that run at their last validation. If the tokens are equal, it also says which
/// model is better, by how much, and in what fraction of the time. Runs without validation are skipped.
std::vector<std::string> comparison_sentences(const std::vector<ReportedRun>& runs);

}  // namespace lighthouse
