#include "program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

namespace lighthouse::test {
namespace {

/// An unnamed file.
int open_scratch() {
  std::string name = ::testing::TempDir() + "lighthouse_cli_XXXXXX";
  const int file = mkostemp(name.data(), O_CLOEXEC);
  if (file < 0) throw std::runtime_error("cannot make a file in " + ::testing::TempDir());
  unlink(name.c_str());
  return file;
}

/// Reads a file without moving the offset at which the program writes.
std::string contents(int file) {
  std::string text;
  std::array<char, 4096> piece;
  const auto next = [&] { return pread(file, piece.data(), piece.size(), static_cast<off_t>(text.size())); };
  for (ssize_t got = next(); got > 0; got = next()) text.append(piece.data(), static_cast<size_t>(got));
  return text;
}

std::vector<char*> pointers(const std::string& program, const Arguments& arguments) {
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  return argv;
}

/// Runs in the child process. Threads do not speed up tiny products, and several tests run at the same time.
[[noreturn]] void become(const std::string& program, char* const* argv) {
  setenv("OMP_NUM_THREADS", "1", 0);
  signal(SIGHUP, SIG_DFL);  // the tests themselves may run under nohup
  execv(program.c_str(), argv);
  _exit(127);
}

}  // namespace

Process::Process(const std::string& program, const Arguments& arguments, Screen screen) {
  screen == Screen::kFiles ? start_on_files(program, arguments) : start_on_terminal(program, arguments);
  if (pid_ < 0) throw std::runtime_error("cannot start " + program);
}

Process::~Process() {
  if (!ended_) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  for (const int file : {out_, err_}) {
    if (file >= 0) close(file);
  }
}

void Process::start_on_files(const std::string& program, const Arguments& arguments) {
  out_ = open_scratch();
  err_ = open_scratch();
  const std::vector<char*> argv = pointers(program, arguments);
  pid_ = fork();
  if (pid_ != 0) return;
  dup2(out_, STDOUT_FILENO);
  dup2(err_, STDERR_FILENO);
  become(program, argv.data());
}

void Process::start_on_terminal(const std::string& program, const Arguments& arguments) {
  winsize size{};
  size.ws_row = 25;
  size.ws_col = 132;
  const std::vector<char*> argv = pointers(program, arguments);
  pid_ = forkpty(&out_, nullptr, nullptr, &size);
  if (pid_ == 0) become(program, argv.data());
}

void Process::send(int signal) const {
  if (!ended_) kill(pid_, signal);
}

bool Process::running() {
  if (ended_) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) finish(status);
  return !ended_;
}

std::string Process::written() const {
  return contents(out_);
}

Outcome Process::wait() {
  if (!ended_) {
    std::string shown;
    if (err_ < 0) {  // drain the terminal, or the program blocks; reading fails when the program exits
      std::array<char, 4096> piece;
      for (ssize_t got = read(out_, piece.data(), piece.size()); got > 0 || (got < 0 && errno == EINTR);
           got = read(out_, piece.data(), piece.size())) {
        if (got > 0) shown.append(piece.data(), static_cast<size_t>(got));
      }
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    finish(status);
    if (err_ < 0) ended_->out = shown;
  }
  return *ended_;
}

void Process::finish(int status) {
  Outcome outcome;
  if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) outcome.signal = WTERMSIG(status);
  if (err_ >= 0) {
    outcome.out = contents(out_);
    outcome.err = contents(err_);
  }
  ended_ = outcome;
}

std::string lighthouse_program() {
  return LIGHTHOUSE_PROGRAM;
}

Outcome lighthouse(const Arguments& arguments) {
  return Process(LIGHTHOUSE_PROGRAM, arguments).wait();
}

Outcome golden(const Arguments& arguments) {
  return Process(LIGHTHOUSE_GOLDEN_PROGRAM, arguments).wait();
}

}  // namespace lighthouse::test
