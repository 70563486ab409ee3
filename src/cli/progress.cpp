#include "progress.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "lighthouse/core/text.h"

namespace lighthouse {
namespace {

using namespace std::chrono_literals;

const std::string kClearLine = "\r\x1b[K";

/// Writes to standard error. Ignores failures: work continues after its terminal was closed.
void put(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

ProgressLine::ProgressLine() : terminal_(isatty(STDERR_FILENO) != 0) {}

void ProgressLine::show(double fraction, const std::string& text, bool last) {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_ && !last) return;
  next_ = now + (terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(10s));
  if (terminal_) {
    draw_bar(fraction, text);
    drawn_ = true;
  } else {
    spdlog::info("{:3.0f}%  {}", 100 * fraction, text);
  }
}

void ProgressLine::show_bytes(int64_t bytes, int64_t of) {
  show(static_cast<double>(bytes) / static_cast<double>(of),
       fmt::format("{} of {}", format_bytes(bytes), format_bytes(of)), bytes == of);
}

void ProgressLine::draw_bar(double fraction, const std::string& text) const {
  constexpr size_t kBar = 24;
  const auto filled = static_cast<size_t>(std::clamp(fraction, 0.0, 1.0) * kBar);
  std::string line = fmt::format("[{}{}] {:3.0f}%  {}", std::string(filled, '='), std::string(kBar - filled, ' '),
                                 100 * fraction, text);
  line.resize(std::min(line.size(), terminal_width() - 1));
  put(kClearLine + line);
}

void ProgressLine::clear() {
  if (!drawn_) return;
  put(kClearLine);
  drawn_ = false;
}

}  // namespace lighthouse
