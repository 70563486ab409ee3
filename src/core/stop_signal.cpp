#include "lighthouse/core/stop_signal.h"

#include <atomic>
#include <csignal>
#include <initializer_list>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

// The one piece of global state that a signal handler cannot do without.
std::atomic<int> pending_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void note_signal(int signal) {
  pending_signal.store(signal == SIGUSR1 ? SIGTERM : signal);
}

/// What the terminal, a scheduler or a launcher sends.
sigset_t stop_signals(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

}  // namespace

StopSignal::StopSignal() {
  pending_signal.store(0);
  struct sigaction action {};
  action.sa_handler = note_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &old_interrupt_);
  sigaction(SIGTERM, &action, &old_terminate_);
  sigaction(SIGUSR1, &action, &old_user_);
  const sigset_t all = stop_signals({SIGINT, SIGTERM, SIGUSR1});
  pthread_sigmask(SIG_UNBLOCK, &all, &old_mask_);
}

StopSignal::~StopSignal() {
  pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
  sigaction(SIGINT, &old_interrupt_, nullptr);
  sigaction(SIGTERM, &old_terminate_, nullptr);
  sigaction(SIGUSR1, &old_user_, nullptr);
}

int StopSignal::pending() const {
  return pending_signal.load();
}

void StopSignal::check() const {
  if (const int signal = pending()) throw Interrupted(signal);
}

DeferredSignals::DeferredSignals() {
  const sigset_t deferred = stop_signals({SIGTERM, SIGUSR1});
  pthread_sigmask(SIG_BLOCK, &deferred, &old_mask_);
}

void keep_signals_from_this_thread() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

DeferredSignals::~DeferredSignals() {
  const sigset_t deferred = stop_signals({SIGTERM, SIGUSR1});
  constexpr timespec kNow{};
  while (sigtimedwait(&deferred, nullptr, &kNow) > 0) {  // what came late has nothing more to stop
  }
  pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
}

}  // namespace lighthouse
