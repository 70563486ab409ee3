// Runs the program in a process of its own and captures its exit code and output.
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

/// The kind of standard output and standard error.
enum class Screen { kFiles, kTerminal };

/// A running program. The destructor kills it.
class Process {
 public:
  Process(const std::string& program, const Arguments& arguments, Screen screen = Screen::kFiles);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void send(int signal) const;
  bool running();
  /// The standard output so far, if it is a file.
  std::string written() const;
  /// Waits for the end. On a terminal, `out` is all output.
  Outcome wait();

 private:
  void start_on_files(const std::string& program, const Arguments& arguments);
  void start_on_terminal(const std::string& program, const Arguments& arguments);
  void finish(int status);

  pid_t pid_ = -1;
  int out_ = -1;  // an unlinked file, or the terminal's controlling end
  int err_ = -1;
  std::optional<Outcome> ended_;
};

/// Runs `lighthouse` to its end.
Outcome lighthouse(const Arguments& arguments);
/// Runs `lighthouse-golden` to its end.
Outcome golden(const Arguments& arguments);
std::string lighthouse_program();

/// Polls `condition` for at most `limit`. Returns whether it became true.
template <typename Condition>
bool wait_until(std::chrono::milliseconds limit, const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
  }
  return true;
}

}  // namespace lighthouse::test
