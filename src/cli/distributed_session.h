// This process as one of the ranks that a launcher started.
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

/// Ends the program with an exit code and no message. The message was printed before, because a launcher may kill all
/// ranks as soon as one exits.
struct SilentExit {
  int code;
};

/// The process group of a launcher's ranks, or of a single process. Not thread-safe.
class DistributedSession {
 public:
  /// Joins the process group. `even_alone`: form a group, with a communicator, even if the launcher started only one
  /// rank.
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

  /// Runs `work`, then leaves the process group. If `work` throws, the other ranks are notified, so that they do not
  /// wait for this rank; on ranks other than 0, errors that rank 0 reports become SilentExit.
  void run(const std::function<void()>& work);

  /// The ranks and their communicators, according to the config and the devices.
  Ranks ranks(const RunConfig& config, Backend& backend);

 private:
  std::shared_ptr<Communicator> communicator_for(const RunConfig& config, Backend& backend);
  void leave();

  Launch launch_;
  std::optional<DeferredSignals> deferred_;
  std::unique_ptr<MpiSession> mpi_;
  std::shared_ptr<ProcessGroup> group_;
};

/// Joins the process group, with the `distributed` section of this rank's config if the config can be read. Errors in
/// the config are reported later, by load_config_on_all_ranks().
std::unique_ptr<DistributedSession> join_distributed_session(const std::string& config,
                                                             const std::vector<std::string>& settings);

/// Reads the config on each rank. Throws InputError if ranks disagree on the config, the program or the command.
RunConfig load_config_on_all_ranks(DistributedSession& session, const std::string& command, const std::string& config,
                                   const std::vector<std::string>& settings);

}  // namespace lighthouse
