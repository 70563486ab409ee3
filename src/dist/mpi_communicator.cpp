#ifdef LIGHTHOUSE_HAS_MPI
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <mutex>
#include <optional>

#include "host_collectives.h"
#include "lighthouse/dist/mpi.h"
#include "mpi_thread.h"

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

/// Collectives run in MpiThread, which all communicators share. Results are in host memory when a collective has
/// finished, so join() blocks the host.
class MpiCommunicator final : public Communicator {
 public:
  /// `make_comm` makes MPI's communicator, in MpiThread.
  MpiCommunicator(ProcessGroup& group, Backend& backend, std::shared_ptr<dist::MpiThread> thread,
                  const std::function<MPI_Comm()>& make_comm)
      : group_(group),
        backend_(backend),
        staged_(backend.device().kind != DeviceKind::kCpu),
        thread_(std::move(thread)) {
    const auto watch = [this](Clock::duration running) {
      if (thread_->abandoned()) throw RunError("a collective was abandoned");
      group_.check(current_, running);
    };
    thread_->submit(this, [&] { collectives_.emplace(make_comm(), watch); });
    thread_->wait(this);
  }
  ~MpiCommunicator() override { thread_->abandon(this); }
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int rank() const override { return collectives_->rank(); }
  int size() const override { return collectives_->size(); }
  std::string description() const override {
    std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
    int length = 0;
    MPI_Get_library_version(text.data(), &length);
    std::string version(text.data(), static_cast<size_t>(length));
    version.resize(std::min(version.find_first_of(",\n"), version.size()));
    return fmt::format("MPI ({}){}", version, staged_ ? ", staged through pinned host memory" : "");
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    return std::make_unique<MpiCommunicator>(group_, backend_, thread_,
                                             [&] { return collectives_->split(color, key); });
  }

  void all_reduce(const Stream& after, const Tensor& x) override { start({Collective::kAllReduce, x, x, 0}, after); }
  void reduce_scatter(const Stream& after, const Tensor& x) override {
    start({Collective::kReduceScatter, x, x, 0}, after);
  }
  void all_gather(const Stream& after, const Tensor& x) override { start({Collective::kAllGather, x, x, 0}, after); }
  void all_to_all(const Stream& after, const Tensor& out, const Tensor& in) override {
    start({Collective::kAllToAll, out, in, 0}, after);
  }
  void broadcast(const Stream& after, const Tensor& x, int root) override {
    start({Collective::kBroadcast, x, x, root}, after);
  }

  void join(const Stream&) override {
    const auto begin = Clock::now();
    thread_->wait(this);
    const std::lock_guard lock(mutex_);
    cost_.exposed_seconds += seconds_since(begin);
  }
  void wait(const Event& event) override {
    group_.check("a step's result");
    backend_.wait(event);  // after join() no work on the device waits for other ranks
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
  };

  void start(const Task& task, const Stream& after);
  // These run in MpiThread.
  void run(const Task& task);
  void run_on_host(const Task& task, const Tensor& out, const Tensor& in);
  void run_staged(const Task& task);
  int64_t bytes_sent(const Task& task) const;

  ProcessGroup& group_;
  Backend& backend_;
  bool staged_;
  std::shared_ptr<dist::MpiThread> thread_;
  std::optional<dist::HostCollectives> collectives_;
  const char* current_ = "";  // the collective that runs
  Memory pinned_;

  std::mutex mutex_;
  CommunicationCost cost_;
};

void MpiCommunicator::start(const Task& task, const Stream& after) {
  group_.check(name_of(task.which));
  thread_->submit(this, [this, task, ready = backend_.record(after)] {
    backend_.wait(ready);
    const auto begin = Clock::now();
    run(task);
    const std::lock_guard lock(mutex_);
    cost_.busy_seconds += seconds_since(begin);
    cost_.bytes += bytes_sent(task);
  });
}

void MpiCommunicator::run(const Task& task) {
  current_ = name_of(task.which);
  staged_ ? run_staged(task) : run_on_host(task, task.out, task.in);
}

void MpiCommunicator::run_on_host(const Task& task, const Tensor& out, const Tensor& in) {
  switch (task.which) {
    case Collective::kAllReduce:
      return collectives_->all_reduce(out);
    case Collective::kReduceScatter:
      return collectives_->reduce_scatter(out);
    case Collective::kAllGather:
      return collectives_->all_gather(out);
    case Collective::kAllToAll:
      return collectives_->all_to_all(out, in);
    case Collective::kBroadcast:
      return collectives_->broadcast(out, task.root);
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
  const int64_t others = task.in.bytes() - task.in.bytes() / size();  // the other ranks' part
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
  return std::make_unique<MpiCommunicator>(group, backend, std::make_shared<dist::MpiThread>(),
                                           dist::HostCollectives::duplicate_world);
}

}  // namespace lighthouse
#endif
