// This process among those that a launcher started.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "lighthouse/config/run_config.h"
#include "lighthouse/core/stop_signal.h"
#include "lighthouse/dist/launch.h"
#include "lighthouse/dist/mpi.h"
#include "lighthouse/dist/ranks.h"

namespace lighthouse {

/// Ends the program with a code and without a word: what there is to say has been said, at once, since a launcher may
/// kill all ranks when one ends.
struct SilentExit {
  int code;
};

/// The other ranks, found; or none.
class DistributedSession {
 public:
  /// `even_alone`: a launcher's only rank is one too, and has a communicator.
  DistributedSession(const Timeouts& timeouts, bool even_alone);
  ~DistributedSession();
  DistributedSession(const DistributedSession&) = delete;
  DistributedSession& operator=(const DistributedSession&) = delete;

  int rank() const { return launch_.rank; }
  int size() const { return launch_.size; }
  int local_rank() const { return launch_.local_rank; }
  ProcessGroup& group() const { return *group_; }
  bool is_rank0() const { return group_->is_rank0(); }
  /// "8 ranks by mpirun", or empty.
  std::string description() const;

  /// Runs `work`, then parts from the others. What it throws is told to them, so that nobody waits for this rank; on
  /// all but rank 0 what the user would read twice becomes SilentExit.
  void run(const std::function<void()>& work);

  /// The ranks with what carries tensors between them, as the config says and the devices allow.
  Ranks ranks(const RunConfig& config, Backend& backend);

 private:
  std::shared_ptr<Communicator> communicator_for(const RunConfig& config, Backend& backend);
  void leave();

  Launch launch_;
  std::optional<DeferredSignals> deferred_;
  std::unique_ptr<MpiSession> mpi_;
  std::shared_ptr<ProcessGroup> group_;
};

/// Finds the other ranks. What the config says of `distributed` is taken from this rank's own, if it can be read; what
/// is wrong with it is said later, by all ranks together.
std::unique_ptr<DistributedSession> join_distributed_session(const std::string& config,
                                                             const std::vector<std::string>& settings);

/// Reads the config on each rank, and throws InputError if they differ in it, in the program or in the command.
RunConfig load_config_on_all_ranks(DistributedSession& session, const std::string& command, const std::string& config,
                                   const std::vector<std::string>& settings);

}  // namespace lighthouse
