// The errors that reach a user. Each message says what was wrong, where, and what would work.
#pragma once

#include <stdexcept>
#include <string>

namespace lighthouse {

/// The user's input or environment was refused: a config, a file, a full disk. The program exits with code 2.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The run itself failed: too many skipped steps, a broken invariant. The program exits with code 1.
class RunError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A signal asked the program to stop. The code that throws or catches this has saved what is worth keeping. The
/// program exits with code 128 + signal.
class Interrupted : public std::runtime_error {
 public:
  explicit Interrupted(int signal) : std::runtime_error("interrupted by a signal"), signal_(signal) {}
  int signal() const { return signal_; }

 private:
  int signal_;
};

}  // namespace lighthouse
