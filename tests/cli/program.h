// Runs the program as a user does: in a process of its own, with its exit code and what it wrote.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace lighthouse::test {

using Arguments = std::vector<std::string>;

struct Outcome {
  int exit_code = -1;  // -1: ended by `signal`
  int signal = 0;
  std::string out;
  std::string err;
};

/// What standard output and standard error are.
enum class Screen { kFiles, kTerminal };

/// A running program. Killed, if it still runs, when the object goes.
class Process {
 public:
  Process(const std::string& program, const Arguments& arguments, Screen screen = Screen::kFiles);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void send(int signal) const;
  bool running();
  /// What has come on standard output so far, where that is a file.
  std::string written() const;
  /// Waits for the end. On a terminal, `out` has all that was written to it.
  Outcome wait();

 private:
  void start_on_files(const std::string& program, const Arguments& arguments);
  void start_on_terminal(const std::string& program, const Arguments& arguments);
  void finish(int status);

  pid_t pid_ = -1;
  int out_ = -1;  // an unlinked file, or the terminal's other end
  int err_ = -1;
  std::optional<Outcome> ended_;
};

/// Runs `lighthouse` to its end.
Outcome lighthouse(const Arguments& arguments);
/// Runs `lighthouse-golden` to its end.
Outcome golden(const Arguments& arguments);
std::string lighthouse_program();

/// Asks again and again, at most `limit`; returns whether it came true.
template <typename Condition>
bool wait_until(std::chrono::milliseconds limit, const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
  }
  return true;
}

}  // namespace lighthouse::test
