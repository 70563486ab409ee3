// What a comparison of runs comes to, in words.
#pragma once

#include <string>
#include <vector>

#include "lighthouse/report/comparison_tables.h"

namespace lighthouse {

/// A paragraph for each run after the first. It holds the loss in dense attention, the tokens and the training time at
/// the last validation of the first run and of that run. If the tokens are equal, it also says which model is better,
/// by how much, and in which share of the time. Runs without validation are left out.
std::vector<std::string> comparison_sentences(const std::vector<ReportedRun>& runs);

}  // namespace lighthouse
