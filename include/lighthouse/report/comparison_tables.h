// The tables of `lighthouse compare`, for the terminal and for the page.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lighthouse/config/run_config.h"
#include "lighthouse/train/comparison.h"

namespace lighthouse {

struct ReportedRun {
  std::string name;  // unique
  RunConfig config;
  RunHistory history;  // at least one step
  int ranks = 1;
};

struct ReportTable {
  std::string title;
  std::string note;  // shown below the title; may be ""
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;

  /// The table as monospaced text, with title and note.
  std::string str() const;
};

/// Tables of the runs at their end, at equal tokens and at equal time, of stages, and of switches if there are any.
std::vector<ReportTable> comparison_tables(const std::vector<ReportedRun>& runs);

/// The device memory of rank 0 in bytes, by purpose, planned from the run's config.
std::vector<std::pair<std::string, int64_t>> memory_of(const ReportedRun& run);
ReportTable memory_table(const std::vector<ReportedRun>& runs);

/// The settings in which runs differ from the first; without rows if there are none.
ReportTable differences_table(const std::vector<ReportedRun>& runs);

}  // namespace lighthouse
