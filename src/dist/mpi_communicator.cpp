#ifdef LIGHTHOUSE_HAS_MPI
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "host_collectives.h"
#include "lighthouse/core/stop_signal.h"
#include "lighthouse/dist/mpi.h"

namespace lighthouse {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

enum class Collective : uint8_t { kAllReduce, kReduceScatter, kAllGather, kAllToAll, kBroadcast };

constexpr const char* name_of(Collective which) {
  constexpr std::array kNames{"an all-reduce", "a reduce-scatter", "an all-gather", "an all-to-all", "a broadcast"};
  return kNames[static_cast<size_t>(which)];
}

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(ProcessGroup& group, Backend& backend)
      : group_(group),
        backend_(backend),
        staged_(backend.device().kind != DeviceKind::kCpu),
        collectives_([this](Clock::duration waited) {
          if (ending_) throw RunError("a collective was given up");
          group_.check(doing_, waited);
        }) {
    thread_ = std::thread([this] { work(); });
  }
  ~MpiCommunicator() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int rank() const override { return collectives_.rank(); }
  int size() const override { return collectives_.size(); }
  std::string description() const override {
    std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
    int length = 0;
    MPI_Get_library_version(text.data(), &length);
    std::string version(text.data(), static_cast<size_t>(length));
    version.resize(std::min(version.find_first_of(",\n"), version.size()));
    return fmt::format("MPI ({}){}", version, staged_ ? ", staged through pinned host memory" : "");
  }

  void all_reduce(const Stream& after, const Tensor& x) override { give({Collective::kAllReduce, x, x, 0}, after); }
  void reduce_scatter(const Stream& after, const Tensor& x) override {
    give({Collective::kReduceScatter, x, x, 0}, after);
  }
  void all_gather(const Stream& after, const Tensor& x) override { give({Collective::kAllGather, x, x, 0}, after); }
  void all_to_all(const Stream& after, const Tensor& out, const Tensor& in) override {
    give({Collective::kAllToAll, out, in, 0}, after);
  }
  void broadcast(const Stream& after, const Tensor& x, int root) override {
    give({Collective::kBroadcast, x, x, root}, after);
  }

  void join(const Stream& stream) override;
  void wait(const Event& event) override {
    group_.check("a step's result");
    backend_.wait(event);  // nothing on the device waits for others: join() has
  }

  void measure() override {
    const std::lock_guard lock(mutex_);
    cost_ = {};
  }
  CommunicationCost cost() override {
    const std::lock_guard lock(mutex_);
    return std::exchange(cost_, {});
  }

 private:
  struct Task {
    Collective which;
    Tensor out, in;
    int root;
    Event ready = {};
  };

  void give(Task task, const Stream& after);
  void work();
  void run(const Task& task);
  void run_on_host(const Task& task, const Tensor& out, const Tensor& in);
  void run_staged(const Task& task);
  int64_t bytes_sent(const Task& task) const;

  ProcessGroup& group_;
  Backend& backend_;
  bool staged_;
  const char* doing_ = "";
  dist::HostCollectives collectives_;
  Memory pinned_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;  // the front one is under way
  std::atomic<bool> ending_ = false;
  std::exception_ptr failure_;
  CommunicationCost cost_;
  std::thread thread_;
};

void MpiCommunicator::give(Task task, const Stream& after) {
  group_.check(name_of(task.which));
  task.ready = backend_.record(after);
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  changed_.notify_all();
}

void MpiCommunicator::join(const Stream&) {
  std::unique_lock lock(mutex_);
  const auto begin = Clock::now();
  changed_.wait(lock, [&] { return tasks_.empty() || failure_; });
  cost_.exposed_seconds += seconds_since(begin);
  if (failure_) std::rethrow_exception(failure_);
}

void MpiCommunicator::work() {
  keep_signals_from_this_thread();
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return ending_ || !tasks_.empty(); });
    if (ending_) return;  // what is left was given up
    const Task task = tasks_.front();
    lock.unlock();
    std::exception_ptr failure;
    auto begin = Clock::now();
    try {
      backend_.wait(task.ready);
      begin = Clock::now();
      run(task);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    cost_.busy_seconds += seconds_since(begin);
    cost_.bytes += bytes_sent(task);
    if (failure) {
      failure_ = failure;
      changed_.notify_all();
      return;
    }
    tasks_.pop_front();
    changed_.notify_all();
  }
}

void MpiCommunicator::run(const Task& task) {
  doing_ = name_of(task.which);
  staged_ ? run_staged(task) : run_on_host(task, task.out, task.in);
}

void MpiCommunicator::run_on_host(const Task& task, const Tensor& out, const Tensor& in) {
  switch (task.which) {
    case Collective::kAllReduce:
      return collectives_.all_reduce(out);
    case Collective::kReduceScatter:
      return collectives_.reduce_scatter(out);
    case Collective::kAllGather:
      return collectives_.all_gather(out);
    case Collective::kAllToAll:
      return collectives_.all_to_all(out, in);
    case Collective::kBroadcast:
      return collectives_.broadcast(out, task.root);
  }
}

void MpiCommunicator::run_staged(const Task& task) {
  const bool in_place = task.which != Collective::kAllToAll;
  const int64_t bytes = task.in.bytes() * (in_place ? 1 : 2);
  if (bytes > pinned_.bytes()) pinned_ = backend_.allocate_host(bytes);
  const Tensor in(pinned_.address(), task.in.shape(), task.in.dtype());
  const Tensor out = in_place ? in : Tensor(pinned_.address() + task.in.bytes(), task.out.shape(), task.out.dtype());
  const Stream copies = backend_.communication_stream();
  backend_.copy(copies, in, task.in);
  backend_.wait(copies);
  run_on_host(task, out, in);
  backend_.copy(copies, task.out, out);
  backend_.wait(copies);
}

int64_t MpiCommunicator::bytes_sent(const Task& task) const {
  const int64_t others = task.in.bytes() - task.in.bytes() / size();  // what is not this rank's own
  switch (task.which) {
    case Collective::kAllReduce:
      return 2 * others;
    case Collective::kBroadcast:
      return task.root == rank() ? task.in.bytes() : 0;
    default:
      return others;
  }
}

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(ProcessGroup& group, Backend& backend) {
  return std::make_unique<MpiCommunicator>(group, backend);
}

}  // namespace lighthouse
#endif
