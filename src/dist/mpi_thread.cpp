#include "mpi_thread.h"

#include <algorithm>
#include <utility>

#include "lighthouse/core/stop_signal.h"

namespace lighthouse::dist {

MpiThread::MpiThread() : thread_([this] { work(); }) {}

MpiThread::~MpiThread() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void MpiThread::submit(Owner owner, std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back({owner, std::move(task)});
  }
  changed_.notify_all();
}

bool MpiThread::has_tasks_of(Owner owner) const {
  return std::any_of(tasks_.begin(), tasks_.end(), [owner](const Task& task) { return task.owner == owner; });
}

void MpiThread::wait(Owner owner) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || !has_tasks_of(owner); });
  if (failure_) std::rethrow_exception(failure_);
}

void MpiThread::abandon(Owner owner) {
  std::unique_lock lock(mutex_);
  if (tasks_.empty() || failure_) return;
  abandoned_ = tasks_.front().owner == owner;
  tasks_.erase(std::remove_if(tasks_.begin() + 1, tasks_.end(), [&](const Task& task) { return task.owner == owner; }),
               tasks_.end());
  changed_.wait(lock, [&] { return failure_ || !has_tasks_of(owner); });
}

void MpiThread::work() {
  keep_signals_from_this_thread();
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return ending_ || !tasks_.empty(); });
    if (ending_) return;
    const std::function<void()> run = tasks_.front().run;
    lock.unlock();
    std::exception_ptr failure;
    try {
      run();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (!abandoned_.exchange(false)) failure_ = failure;
    if (!failure_) tasks_.pop_front();
    changed_.notify_all();
    if (failure_) return;
  }
}

}  // namespace lighthouse::dist
