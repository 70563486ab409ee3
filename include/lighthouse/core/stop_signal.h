// SIGINT and SIGTERM, turned into a question that long work asks now and then.
#pragma once

namespace lighthouse {

/// While one lives, SIGINT and SIGTERM are noted instead of ending the process. One at a time.
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
};

}  // namespace lighthouse
