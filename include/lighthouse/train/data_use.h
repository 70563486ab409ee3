// What a run makes of its data: which of it is in no window, and how often the rest is passed over.
#pragma once

#include <string>
#include <vector>

#include "lighthouse/config/run_config.h"
#include "lighthouse/data/loader.h"

namespace lighthouse {

/// One pattern of one stage.
struct SourceUse {
  std::string stage;
  std::string pattern;
  WindowUse use;
  double passes = 0;  // of the stage's steps over all windows; 0 for validation data

  /// Whether more than a tenth of the tokens is in no window.
  bool wastes() const { return static_cast<double>(use.unused_tokens) > 0.1 * static_cast<double>(use.tokens); }
  /// One sentence.
  std::string str() const;
};

/// Of all stages, training data first, then validation data. Reads the headers of the shards alone. Throws InputError.
std::vector<SourceUse> data_use(const RunConfig& config);

/// Throws InputError if a file, under whatever name, is both trained and validated on, in whichever stages, or belongs
/// to a stage's training data twice.
void check_overlaps(const RunConfig& config);

}  // namespace lighthouse
