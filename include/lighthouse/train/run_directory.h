// A run's folder: config.yaml, metrics.jsonl, log.txt, checkpoints/. One run at a time writes to it.
#pragma once

#include <filesystem>
#include <string>
#include <utility>

namespace lighthouse {

/// A locked run folder. The lock is released when the object is destroyed.
class RunDirectory {
 public:
  /// Creates the folder if it does not exist, and locks it. Throws InputError if it cannot be written, or if another
  /// process has locked it. On a file system without locks the folder stays unlocked: see why_unlocked().
  explicit RunDirectory(std::filesystem::path path);
  /// The folder on another rank, after rank 0 has locked and marked it. Throws InputError if the mark differs: the host
  /// does not share the disk and has an older folder of the same name.
  static RunDirectory locked_by_rank0(std::filesystem::path path, const std::string& mark);
  ~RunDirectory();
  RunDirectory(RunDirectory&& other) noexcept
      : path_(std::move(other.path_)),
        lock_(std::exchange(other.lock_, -1)),
        why_unlocked_(std::move(other.why_unlocked_)) {}
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  /// Writes a unique text to the lock file, for the other ranks, and returns it. Throws InputError.
  std::string mark() const;
  /// The system's error if the folder could not be locked; empty if it is locked or belongs to rank 0.
  const std::string& why_unlocked() const { return why_unlocked_; }
  /// Whether the folder contains files of a run.
  bool holds_a_run() const;
  /// Removes unfinished files that a killed process left.
  void remove_partial_files() const;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.yaml"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path discarded_metrics() const { return path_ / "metrics.discarded.jsonl"; }
  std::filesystem::path log() const { return path_ / "log.txt"; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }

 private:
  struct Unlocked {};
  RunDirectory(std::filesystem::path path, Unlocked) : path_(std::move(path)) {}

  std::filesystem::path path_;
  int lock_ = -1;
  std::string why_unlocked_;
};

}  // namespace lighthouse
