#include "lighthouse/core/stop_signal.h"

#include <atomic>
#include <csignal>
#include <span>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

// A signal handler can reach global state only.
std::atomic<int> pending_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void note_signal(int signal) {
  pending_signal.store(signal == SIGUSR1 ? SIGTERM : signal);
}

/// The signals that schedulers and launchers send, to one rank or to all.
constexpr std::array kDeferred{SIGTERM, SIGHUP, SIGUSR1};

struct sigaction hang_up_at_start {};

void save_hang_up() {
  sigaction(SIGHUP, nullptr, &hang_up_at_start);
}

/// Runs before the constructors of shared libraries.
[[gnu::section(".preinit_array"), gnu::used]] void (*const save_before_libraries)() = save_hang_up;

sigset_t set_of(std::span<const int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

}  // namespace

void restore_hang_up() {
  sigaction(SIGHUP, &hang_up_at_start, nullptr);
}

StopSignal::StopSignal() {
  pending_signal.store(0);
  struct sigaction action {};
  action.sa_handler = note_signal;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], nullptr, &old_actions_[i]);
    const bool under_nohup = kSignals[i] == SIGHUP && old_actions_[i].sa_handler == SIG_IGN;
    if (!under_nohup) sigaction(kSignals[i], &action, nullptr);
  }
  const sigset_t all = set_of(kSignals);
  pthread_sigmask(SIG_UNBLOCK, &all, &old_mask_);
}

StopSignal::~StopSignal() {
  pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &old_actions_[i], nullptr);
}

int StopSignal::pending() const {
  return pending_signal.load();
}

void StopSignal::check() const {
  if (const int signal = pending()) throw Interrupted(signal);
}

DeferredSignals::DeferredSignals() {
  const sigset_t deferred = set_of(kDeferred);
  pthread_sigmask(SIG_BLOCK, &deferred, &old_mask_);
}

void keep_signals_from_this_thread() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

DeferredSignals::~DeferredSignals() {
  const sigset_t deferred = set_of(kDeferred);
  constexpr timespec kNow{};
  while (sigtimedwait(&deferred, nullptr, &kNow) > 0) {  // dropped: the work is done
  }
  pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
}

}  // namespace lighthouse
