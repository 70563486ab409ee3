// A checkpoint's model on a device, for generate and eval.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "lighthouse/config/run_config.h"
#include "lighthouse/core/arena.h"
#include "lighthouse/data/tokenizer.h"
#include "lighthouse/model/parameters.h"
#include "lighthouse/ops/backend.h"
#include "lighthouse/train/checkpoint.h"

namespace lighthouse {

/// A checkpoint's metadata, without weights.
struct ModelCard {
  std::filesystem::path path;
  CheckpointState state;
  RunConfig config;
  StageSection stage;  // of the checkpoint's last step
  ModelConfig model;   // with that stage's rope_theta

  /// "quickstart, step 432"
  std::string title() const;
  /// Warns if `length` exceeds the sequence length of the model's training.
  void warn_if_beyond_training(int64_t length) const;
};

/// Reads the metadata of a checkpoint, or of a run's newest one, and verifies all its files. Throws InputError.
ModelCard read_model_card(const std::filesystem::path& checkpoint_or_run);

/// A checkpoint's weights on a device, in the backend's type.
class DeviceWeights {
 public:
  DeviceWeights(const ModelCard& card, Backend& backend);
  const Parameters& parameters() const { return parameters_; }

 private:
  Arena arena_;
  Parameters parameters_;
};

}  // namespace lighthouse
