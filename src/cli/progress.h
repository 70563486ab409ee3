// Progress of long work: a line that is redrawn on a terminal, or occasional log lines elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace lighthouse {

class ProgressLine {
 public:
  /// Writes to standard error.
  ProgressLine();
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// Shows `text` beside a bar of `fraction` (0 to 1). Skips updates that follow too soon, except the `last` one.
  void show(double fraction, const std::string& text, bool last = false);
  /// Shows `bytes` of a total `of`.
  void show_bytes(int64_t bytes, int64_t of);
  /// Erases the line, so that other output can follow.
  void clear();

 private:
  void draw_bar(double fraction, const std::string& text) const;

  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_{};
};

}  // namespace lighthouse
