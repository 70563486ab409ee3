// The training data of a run, step by step.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "lighthouse/config/run_config.h"
#include "lighthouse/data/loader.h"
#include "lighthouse/dist/mesh.h"
#include "lighthouse/train/checkpoint.h"

namespace lighthouse {

/// Draws this rank's share of each step's micro-batches from the data of the stage under way. For each step:
/// begin_step(), next() for each micro-batch of the share, end_step(). Which windows a step trains on does not depend
/// on the number of ranks.
class TrainingData {
 public:
  /// `config` must outlive the object.
  TrainingData(const RunConfig& config, const Mesh& mesh);

  /// Opens the data of a stage and continues each source where `progress` says. `stage_begins`: no step of the stage
  /// has been made, so that the weights of its sources apply from here on. Throws InputError if the data cannot be
  /// used.
  void open(int64_t stage, const std::map<std::string, SourceProgress>& progress, bool stage_begins);

  /// Skips the micro-batches of lower ranks.
  void begin_step();
  /// Writes the next micro-batch, windows of N+1 tokens. Throws InputError for a token outside the vocabulary.
  void next(std::span<int32_t> windows);
  /// Skips the micro-batches of higher ranks.
  void end_step();

  /// How far each source of the stage is, by path.
  std::map<std::string, SourceProgress> progress() const;

 private:
  void skip(int64_t micro_batches);

  const RunConfig& config_;
  Mesh mesh_;
  const StageSection* stage_ = nullptr;
  std::unique_ptr<Loader> loader_;
};

}  // namespace lighthouse
