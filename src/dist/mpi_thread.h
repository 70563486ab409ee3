// The thread that calls MPI.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace lighthouse::dist {

/// Runs the tasks of all communicators of the process one after another, in the order of submit(). MPI is called by
/// this thread alone, as MPI_THREAD_SERIALIZED allows one call at a time. After a task has thrown no further task runs.
/// All functions but abandoned() are called from other threads.
class MpiThread {
 public:
  using Owner = const void*;  // the communicator that a task belongs to

  MpiThread();
  /// All owners have abandoned their tasks.
  ~MpiThread();
  MpiThread(const MpiThread&) = delete;
  MpiThread& operator=(const MpiThread&) = delete;

  void submit(Owner owner, std::function<void()> task);
  /// Waits until all tasks of `owner` have finished. Throws what a task, of any owner, has thrown.
  void wait(Owner owner);
  /// Drops the tasks of `owner` that have not started, and waits for the one that runs.
  void abandon(Owner owner);
  /// For the running task, now and then: whether it is to stop, by an exception.
  bool abandoned() const { return abandoned_; }

 private:
  struct Task {
    Owner owner;
    std::function<void()> run;
  };

  void work();
  bool has_tasks_of(Owner owner) const;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;  // the front one is running
  std::atomic<bool> abandoned_ = false;
  bool ending_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace lighthouse::dist
