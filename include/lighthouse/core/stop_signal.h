// SIGINT, SIGTERM, SIGHUP and SIGUSR1 as a flag that long computations poll.
#pragma once

#include <array>
#include <csignal>

namespace lighthouse {

/// Restores the SIGHUP action that the process was started with. Libraries change it: UCX, which some builds of Open
/// MPI load, installs its own handler, even under nohup. Call it first in main() and again after starting MPI.
void restore_hang_up();

/// During its lifetime SIGINT, SIGTERM, SIGHUP and SIGUSR1 set a flag instead of their previous action. SIGUSR1, which
/// schedulers send ahead of a time limit, counts as SIGTERM. A SIGHUP that the process was started to ignore (nohup)
/// stays ignored. The constructor unblocks the signals in the calling thread, so that signals held back by
/// DeferredSignals arrive. At most one StopSignal may exist at a time.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// The last signal received, or 0.
  int pending() const;
  /// Throws Interrupted if a signal was received.
  void check() const;

 private:
  static constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP, SIGUSR1};

  std::array<struct sigaction, kSignals.size()> old_actions_{};
  sigset_t old_mask_{};
};

/// During its lifetime SIGTERM, SIGHUP and SIGUSR1 stay blocked until the next StopSignal. When a launcher ends all
/// ranks because one failed, the others thereby get the time to report why. The destructor drops signals that are still
/// pending: the work is done and its exit code stands. Threads started during its lifetime inherit the block. Construct
/// it in the main thread.
class DeferredSignals {
 public:
  DeferredSignals();
  ~DeferredSignals();
  DeferredSignals(const DeferredSignals&) = delete;
  DeferredSignals& operator=(const DeferredSignals&) = delete;

 private:
  sigset_t old_mask_{};
};

/// Blocks all signals in the calling thread, so that other threads receive them. Some MPI libraries treat a copy
/// between processes that a signal interrupts as an error.
void keep_signals_from_this_thread();

}  // namespace lighthouse
