// Progress of long work: one line that is drawn again and again on a terminal, now and then a plain line elsewhere.
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

  /// Shows `text` beside a bar of `fraction` (0 to 1), if it is time for it; the last call of a piece of work says so.
  void show(double fraction, const std::string& text, bool last = false);
  /// The same of so many bytes.
  void show_bytes(int64_t bytes, int64_t of);
  /// Takes the line away, so that something else can be written.
  void clear();

 private:
  void draw_bar(double fraction, const std::string& text) const;

  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_{};
};

}  // namespace lighthouse
