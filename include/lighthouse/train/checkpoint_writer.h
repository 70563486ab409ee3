// The tensors of checkpoints between the device and the disk.
#pragma once

#include <filesystem>
#include <functional>
#include <future>
#include <optional>
#include <vector>

#include "lighthouse/train/checkpoint.h"
#include "lighthouse/train/data_parallel.h"
#include "lighthouse/train/run_memory.h"

namespace lighthouse {

/// Saves checkpoints of a run's device memory, and fills that memory from one. On a GPU a checkpoint is a pinned copy
/// that a thread writes to disk while training continues; on the CPU the tensors themselves are written, while the
/// caller waits. Rank 0 writes the weights, and each rank its shard of the optimizer's state, or where every rank holds
/// all of it, one piece.
///
/// All calls come from one thread. The writing thread uses Channel::kCheckpoint of the process group.
class CheckpointWriter {
 public:
  /// `memory` must be laid out. `parallel`: null in a run of one rank. All arguments must outlive the writer. Throws
  /// InputError if there is no pinned memory for the copy.
  CheckpointWriter(RunMemory& memory, const RunConfig& config, Backend& backend, std::filesystem::path directory,
                   ProcessGroup& group, DataParallel* parallel);

  /// Copies to the device the weights that `fill` writes to host memory.
  void set_weights(const std::function<void(const Parameters& weights)>& fill);
  /// Copies to the device this rank's shard of the optimizer's state, which `fill` writes to host memory.
  void set_optimizer_state(const std::function<void(const std::vector<StateTensor>& state)>& fill);

  /// Starts to save what the device's memory holds after all work already enqueued on the compute stream. Weights and
  /// optimizer state (and gradients, if the master weights are sharded) must not change before the event that it
  /// returns. At most one checkpoint at a time: finished() must have returned the previous one or thrown.
  Event begin(const CheckpointState& state);
  /// The path of the checkpoint that was begun, once it is on disk; nothing if none was begun or, without `wait`, if it
  /// is still being written. Throws InputError if it could not be written (for example on a full disk).
  std::optional<std::filesystem::path> finished(bool wait);

  /// Bytes of pinned host memory that a run with this config takes for checkpoints.
  static int64_t pinned_bytes(const RunConfig& config, Backend& backend, const Mesh& mesh = {});

 private:
  RunMemory& memory_;
  RunConfig config_;
  Backend& backend_;
  std::filesystem::path directory_;
  ProcessGroup& group_;
  DataParallel* parallel_;
  Arena pinned_;
  Parameters weights_;              // what rank 0 writes
  std::vector<StateTensor> state_;  // what this rank writes
  std::future<std::filesystem::path> writing_;
};

}  // namespace lighthouse
