// SIGINT, SIGTERM, SIGHUP and SIGUSR1, turned into a question that long work asks now and then.
#pragma once

#include <array>
#include <csignal>

namespace lighthouse {

/// Gives SIGHUP back what it did when the process was started. Libraries change it: UCX, which some builds of Open MPI
/// load, sets a handler of its own, also under nohup. Call it first in main() and after starting MPI.
void restore_hang_up();

/// While one lives, SIGINT, SIGTERM, SIGHUP and SIGUSR1 (which schedulers send early; it counts as SIGTERM) are noted
/// instead of doing what they did before, and let through to the thread that made it where they were held back
/// (DeferredSignals). A SIGHUP that the process was started to ignore (nohup) stays ignored. One at a time.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// The signal that came, or 0.
  int pending() const;
  /// Throws Interrupted if a signal came.
  void check() const;

 private:
  static constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP, SIGUSR1};

  std::array<struct sigaction, kSignals.size()> old_actions_{};
  sigset_t old_mask_{};
};

/// While one lives, SIGTERM, SIGHUP and SIGUSR1 wait for the next StopSignal: a launcher that ends all ranks because of
/// one gives the others the time to say why. Those that come after the last one are dropped: the work is done, and its
/// exit code stands. Threads that are started meanwhile inherit it. To be made in the main thread.
class DeferredSignals {
 public:
  DeferredSignals();
  ~DeferredSignals();
  DeferredSignals(const DeferredSignals&) = delete;
  DeferredSignals& operator=(const DeferredSignals&) = delete;

 private:
  sigset_t old_mask_{};
};

/// No signal interrupts this thread from now on: others take it. A copy between processes that a signal cuts short is
/// an error to some MPI libraries.
void keep_signals_from_this_thread();

}  // namespace lighthouse
