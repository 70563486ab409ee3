#include "lighthouse/core/stop_signal.h"

#include <atomic>
#include <csignal>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

// The one piece of global state that a signal handler cannot do without.
std::atomic<int> pending_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void note_signal(int signal) {
  pending_signal.store(signal);
}

void install(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

StopSignal::StopSignal() {
  pending_signal.store(0);
  install(note_signal);
}

StopSignal::~StopSignal() {
  install(SIG_DFL);
}

int StopSignal::pending() const {
  return pending_signal.load();
}

void StopSignal::check() const {
  if (const int signal = pending()) throw Interrupted(signal);
}

}  // namespace lighthouse
