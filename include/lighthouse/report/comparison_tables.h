// What `lighthouse compare` says about runs, as tables: for the terminal and for the page.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lighthouse/config/run_config.h"
#include "lighthouse/train/comparison.h"

namespace lighthouse {

struct ReportedRun {
  std::string name;  // different for each
  RunConfig config;
  RunHistory history;  // of at least one step
  int ranks = 1;
};

struct ReportTable {
  std::string title;
  std::string note;  // below the title; may be ""
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;

  /// As monospaced text, with title and note.
  std::string str() const;
};

/// At the end; at equal tokens; at equal time; stages; switches, if there are any.
std::vector<ReportTable> comparison_tables(const std::vector<ReportedRun>& runs);

/// The memory of rank 0's device in bytes by what it is for, laid out again from a run's config.
std::vector<std::pair<std::string, int64_t>> memory_of(const ReportedRun& run);
ReportTable memory_table(const std::vector<ReportedRun>& runs);

/// Settings in which a run differs from the first; no rows if none does.
ReportTable differences_table(const std::vector<ReportedRun>& runs);

}  // namespace lighthouse
