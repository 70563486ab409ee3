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

}  // namespace

StopSignal::StopSignal() {
  pending_signal.store(0);
  struct sigaction action {};
  action.sa_handler = note_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &old_interrupt_);
  sigaction(SIGTERM, &action, &old_terminate_);
}

StopSignal::~StopSignal() {
  sigaction(SIGINT, &old_interrupt_, nullptr);
  sigaction(SIGTERM, &old_terminate_, nullptr);
}

int StopSignal::pending() const {
  return pending_signal.load();
}

void StopSignal::check() const {
  if (const int signal = pending()) throw Interrupted(signal);
}

}  // namespace lighthouse
