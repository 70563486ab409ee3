// Checkpoints beside training: the tensors on their way between the device and the disk.
#pragma once

#include <filesystem>
#include <future>
#include <optional>

#include "lighthouse/train/checkpoint.h"
#include "lighthouse/train/run_memory.h"

namespace lighthouse {

/// Holds a run's state in host memory while it is loaded or saved. Where the device has memory of its own that is a
/// pinned copy, written in the background while training goes on; on the CPU it is the state itself.
class CheckpointWriter {
 public:
  /// Throws InputError if there is no memory for the copy. All but the path must outlive it.
  CheckpointWriter(RunMemory& memory, const RunConfig& config, Backend& backend, std::filesystem::path directory);

  /// Where weights and moments are loaded to, and saved from.
  const CheckpointTensors& host() const { return host_; }
  /// Brings what was loaded to the device.
  void upload_weights();
  void upload_moments();

  /// Begins to save the device's state of now. The event is reached when the device may change it. One at a time:
  /// finished() must have told of the one before.
  Event begin(const CheckpointState& state);
  /// The path of the checkpoint that was begun, once it is on disk; with `wait`, not before. Throws InputError if it
  /// could not be written (disk full, ...).
  std::optional<std::filesystem::path> finished(bool wait);

  /// Bytes of pinned host memory that a run of this config takes for it.
  static int64_t pinned_bytes(const RunConfig& config, const Backend& backend);

 private:
  RunMemory& memory_;
  ModelConfig model_;
  Backend& backend_;
  std::filesystem::path directory_;
  Arena pinned_;
  CheckpointTensors host_;
  std::future<std::filesystem::path> writing_;
};

}  // namespace lighthouse
