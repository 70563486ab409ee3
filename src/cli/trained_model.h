// A model from a checkpoint, on a device: what generate, eval and their like start from.
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

/// What a checkpoint says of its model, without its weights.
struct ModelCard {
  std::filesystem::path path;
  CheckpointState state;
  RunConfig config;
  StageSection stage;  // of the checkpoint's last step
  ModelConfig model;   // with that stage's rope_theta

  /// "quickstart, step 432"
  std::string title() const;
  /// Warns if the model never saw so many tokens at once.
  void warn_if_beyond_training(int64_t length) const;
};

/// Of a checkpoint, or of a run's newest. Reads all of it to see whether it is whole. Throws InputError.
ModelCard read_model_card(const std::filesystem::path& checkpoint_or_run);

/// A checkpoint's weights on a device, of the backend's type.
class DeviceWeights {
 public:
  DeviceWeights(const ModelCard& card, Backend& backend);
  const Parameters& parameters() const { return parameters_; }

 private:
  Arena arena_;
  Parameters parameters_;
};

}  // namespace lighthouse
