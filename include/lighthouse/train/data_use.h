// How a run uses its data: tokens in no window, and passes over the windows.
#pragma once

#include <string>
#include <vector>

#include "lighthouse/config/run_config.h"
#include "lighthouse/data/loader.h"

namespace lighthouse {

/// The use of one pattern of files in one stage.
struct SourceUse {
  std::string stage;
  std::string pattern;
  WindowUse use;
  double passes = 0;  // that the stage makes over the windows; 0 for validation data

  /// Whether more than a tenth of the tokens are in no window.
  bool wastes() const { return static_cast<double>(use.unused_tokens) > 0.1 * static_cast<double>(use.tokens); }
  /// A sentence for the log.
  std::string str() const;
};

/// The use of all training data, then of all validation data, by stage. Reads only the headers of the shards. Throws
/// InputError.
std::vector<SourceUse> data_use(const RunConfig& config);

/// Throws InputError if a file is training data of one stage and validation data of any stage, or training data of a
/// stage twice. Links to the same file count as that file.
void check_overlaps(const RunConfig& config);

}  // namespace lighthouse
