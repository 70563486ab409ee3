// SIGINT and SIGTERM, turned into a question that long work asks now and then.
#pragma once

#include <csignal>

namespace lighthouse {

/// While one lives, SIGINT and SIGTERM are noted instead of doing what they did before. One at a time.
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
  struct sigaction old_interrupt_ {};
  struct sigaction old_terminate_ {};
};

}  // namespace lighthouse
