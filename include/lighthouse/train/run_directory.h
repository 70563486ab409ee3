// A run's folder: config.yaml, metrics.jsonl, log.txt, checkpoints/. One run at a time writes there.
#pragma once

#include <filesystem>
#include <string>
#include <utility>

namespace lighthouse {

class RunDirectory {
 public:
  /// Makes the folder if it does not exist, and locks it. Throws InputError if it cannot be written or if another
  /// process has locked it. On a file system without locks the folder stays unlocked: see why_unlocked().
  explicit RunDirectory(std::filesystem::path path);
  /// Of the other ranks: the folder that rank 0 has locked and marked. Throws InputError if it is not this one: a host
  /// may have another, of an older run, under the same name.
  static RunDirectory locked_by_rank0(std::filesystem::path path, const std::string& mark);
  ~RunDirectory();
  RunDirectory(RunDirectory&& other) noexcept
      : path_(std::move(other.path_)),
        lock_(std::exchange(other.lock_, -1)),
        why_unlocked_(std::move(other.why_unlocked_)) {}
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  /// Writes into the lock, for the other ranks, what no other folder's has.
  std::string mark() const;
  /// The system's reason why the folder could not be locked; empty if it is locked, or if it is another rank's.
  const std::string& why_unlocked() const { return why_unlocked_; }
  /// Whether a run was started here before.
  bool holds_a_run() const;
  /// Removes what a killed process left of files that it had not finished.
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
