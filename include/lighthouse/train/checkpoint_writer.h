// Checkpoints beside training: the tensors on their way between the device and the disk.
#pragma once

#include <filesystem>
#include <functional>
#include <future>
#include <optional>

#include "lighthouse/train/checkpoint.h"
#include "lighthouse/train/data_parallel.h"
#include "lighthouse/train/run_memory.h"

namespace lighthouse {

/// Where the device has memory of its own, a checkpoint is a pinned copy, written in the background while training goes
/// on; on the CPU it is the state itself. Of several ranks, rank 0 writes the weights and each its part of the moments:
/// what it holds, or where all hold all a piece.
class CheckpointWriter {
 public:
  /// Throws InputError if there is no memory for the copy. All must outlive it. `parallel`: if there are several ranks.
  CheckpointWriter(RunMemory& memory, const RunConfig& config, Backend& backend, std::filesystem::path directory,
                   ProcessGroup& group, DataParallel* parallel);

  /// Brings to the device what `fill` writes in host memory: all weights, and the moments that are held.
  void set_weights(const std::function<void(const Parameters& weights)>& fill);
  void set_moments(const std::function<void(const Moments& moments)>& fill);

  /// Begins to save the device's state of now. The event is reached when the device may change it, and the gradients
  /// where master weights are shared out. One at a time: finished() must have told of the one before.
  Event begin(const CheckpointState& state);
  /// The path of the checkpoint that was begun, once it is on disk; with `wait`, not before. Throws InputError if it
  /// could not be written (disk full, ...).
  std::optional<std::filesystem::path> finished(bool wait);

  /// Bytes of pinned host memory that a run of this config takes for it.
  static int64_t pinned_bytes(const RunConfig& config, const Backend& backend, const Mesh& mesh = {});

 private:
  void copy_moments(const Stream& stream);

  RunMemory& memory_;
  RunConfig config_;
  Backend& backend_;
  std::filesystem::path directory_;
  ProcessGroup& group_;
  DataParallel* parallel_;
  Arena pinned_;
  Parameters weights_;  // of rank 0
  Moments moments_;     // of this rank
  std::future<std::filesystem::path> writing_;
};

}  // namespace lighthouse
