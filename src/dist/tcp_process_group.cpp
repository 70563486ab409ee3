// A rank's side of a process group over TCP.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "coordinator.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/stop_signal.h"
#include "lighthouse/dist/process_group.h"
#include "rendezvous.h"

namespace lighthouse {

namespace dist {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

class TcpProcessGroup final : public ProcessGroup {
 public:
  TcpProcessGroup(int rank, int size, std::unique_ptr<RendezvousListener> listener, const Timeouts& timeouts)
      : rank_(rank),
        size_(size),
        listener_(std::move(listener)),
        timeouts_(timeouts),
        io_(listener_ ? listener_->sockets->io : own_io_),
        timer_(io_) {}
  ~TcpProcessGroup() override {
    if (thread_.joinable()) {
      wait_in_thread(3s, [this] { return !coordinator_ || !has_exited() || coordinator_->all_have_left(); });
      io_.stop();
      thread_.join();
    }
  }
  TcpProcessGroup(const TcpProcessGroup&) = delete;
  TcpProcessGroup& operator=(const TcpProcessGroup&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void join(const Rendezvous& rendezvous, const std::string& about, const Notice& notice);
  std::vector<std::string> gather(const std::string& mine, const std::string& what, Channel channel) override;
  void check(const std::string& what, Clock::duration waited) override {
    const std::lock_guard lock(mutex_);
    if (exit_) throw_exited(what);
    if (waited > timeouts_.stall) throw_stalled(what, timeouts_.stall);
  }
  void abort(const std::string& why, bool refused) override;
  void finish() override;

 private:
  struct Exit {
    int rank;
    std::string why;
    bool refused;
  };

  void receive(Message message);
  void tick();
  void record_exit(const Exit& exit);
  [[noreturn]] void throw_exited(const std::string& what) const;
  [[noreturn]] void throw_stalled(const std::string& what, std::chrono::milliseconds waited) const;
  bool has_exited() {
    const std::lock_guard lock(mutex_);
    return exit_.has_value();
  }
  void send(const Message& message) {
    asio::post(io_, [this, message] { connection_->send(message); });
  }
  /// Waits until `condition`, evaluated in the thread of the io_context, is true.
  template <typename Condition>
  void wait_in_thread(std::chrono::milliseconds limit, const Condition& condition);

  int rank_;
  int size_;
  asio::io_context own_io_;
  std::unique_ptr<RendezvousListener> listener_;
  Timeouts timeouts_;
  asio::io_context& io_;
  asio::steady_timer timer_;
  std::optional<Coordinator> coordinator_;
  std::shared_ptr<Connection> connection_;
  Clock::time_point last_heard_;
  bool leaving_ = false;  // used in the io_context's thread, as is closed_
  bool closed_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool started_ = false;  // the first gather(), for which all ranks must join, has begun
  std::array<uint64_t, 2> next_round_{};
  std::map<std::pair<uint8_t, uint64_t>, std::string> rounds_;
  std::optional<Exit> exit_;
  bool may_leave_ = false;
  std::thread thread_;
};

void TcpProcessGroup::join(const Rendezvous& rendezvous, const std::string& about, const Notice& notice) {
  if (listener_) {
    coordinator_.emplace(io_, listener_->sockets->acceptors, size_, rendezvous.token, timeouts_, notice);
    coordinator_->start();
  }
  Rendezvous reachable = rendezvous;
  if (listener_) reachable.addresses = listener_->own_address();
  connection_ = std::make_shared<Connection>(connect_to_rank0(io_, reachable, timeouts_.start, notice));
  last_heard_ = Clock::now();
  const auto closed = [this] {
    closed_ = true;
    if (leaving_) return;
    record_exit({0, "rank 0 exited: its connection closed, as when a process is killed", false});
  };
  connection_->set_listener([this](Message message) { receive(std::move(message)); }, closed);
  connection_->start();
  connection_->send({Kind::kHello, 0, rank_, static_cast<uint64_t>(size_), pack({rendezvous.token, about})});
  tick();
  io_.restart();
  thread_ = std::thread([this] {
    keep_signals_from_this_thread();
    io_.run();
  });
  gather("", "the start of the run", Channel::kRun);
}

void TcpProcessGroup::receive(Message message) {
  last_heard_ = Clock::now();
  const std::lock_guard lock(mutex_);
  switch (message.kind) {
    case Kind::kGathered:
      rounds_[{message.channel, message.round}] = std::move(message.body);
      break;
    case Kind::kExited:
      if (!exit_) exit_ = Exit{message.rank, message.body, message.channel != 0};
      break;
    case Kind::kLeave:
      may_leave_ = true;
      break;
    default:
      return;
  }
  changed_.notify_all();
}

void TcpProcessGroup::tick() {
  connection_->send({Kind::kHeartbeat, 0, rank_, 0, ""});
  if (!leaving_ && Clock::now() - last_heard_ > timeouts_.silence) {
    record_exit(
        {0, fmt::format("rank 0 does not respond: no heartbeat for {} s", timeouts_.silence.count() / 1000), false});
  }
  timer_.expires_after(heartbeat_of(timeouts_));
  timer_.async_wait([this](const asio::error_code& error) {
    if (!error) tick();
  });
}

void TcpProcessGroup::record_exit(const Exit& exit) {
  const std::lock_guard lock(mutex_);
  if (!exit_) exit_ = exit;
  changed_.notify_all();
}

void TcpProcessGroup::throw_exited(const std::string& what) const {
  throw PeerError(fmt::format("{}; rank {} was waiting for it in {}", exit_->why, rank_, what), exit_->rank,
                  exit_->refused);
}

void TcpProcessGroup::throw_stalled(const std::string& what, std::chrono::milliseconds waited) const {
  throw PeerError(fmt::format("rank {} waited {} s in {}; the other ranks are alive but did not reach it", rank_,
                              waited.count() / 1000, what),
                  -1, false);
}

std::vector<std::string> TcpProcessGroup::gather(const std::string& mine, const std::string& what, Channel channel) {
  std::unique_lock lock(mutex_);
  const auto index = static_cast<uint8_t>(channel);
  const std::pair<uint8_t, uint64_t> round{index, next_round_[index]++};
  if (exit_) throw_exited(what);
  send({Kind::kContribution, index, rank_, round.second, mine});
  const bool started = std::exchange(started_, true);
  const auto limit = started ? timeouts_.stall : std::max(timeouts_.stall, timeouts_.start);
  const bool arrived = changed_.wait_for(lock, limit, [&] { return rounds_.count(round) != 0 || exit_.has_value(); });
  if (!arrived) throw_stalled(what, limit);
  const auto found = rounds_.find(round);
  if (found == rounds_.end()) throw_exited(what);
  std::vector<std::string> parts = unpack(found->second);
  rounds_.erase(found);
  return parts;
}

void TcpProcessGroup::abort(const std::string& why, bool refused) {
  send({Kind::kExited, static_cast<uint8_t>(refused ? 1 : 0), rank_, 0, why});
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 2s, [&] { return exit_.has_value(); });
  }
  wait_in_thread(2s, [this] { return connection_->idle() && (!coordinator_ || coordinator_->idle()); });
  // A launcher kills all ranks when one ends; rank 0 has to report this rank's reason before.
  if (!coordinator_) wait_in_thread(3s, [this] { return closed_; });
}

void TcpProcessGroup::finish() {
  asio::post(io_, [this] {
    leaving_ = true;
    connection_->send({Kind::kLeave, 0, rank_, 0, ""});
  });
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 5s, [&] { return may_leave_ || exit_.has_value(); });
  }
  if (coordinator_) wait_in_thread(5s, [this] { return coordinator_->all_have_left(); });
}

template <typename Condition>
void TcpProcessGroup::wait_in_thread(std::chrono::milliseconds limit, const Condition& condition) {
  const auto end = Clock::now() + limit;
  bool met = false;
  while (!met && Clock::now() < end) {
    std::mutex asked;
    std::condition_variable answered;
    bool done = false;
    asio::post(io_, [&] {
      const std::lock_guard lock(asked);
      met = condition();
      done = true;
      answered.notify_all();
    });
    std::unique_lock lock(asked);
    answered.wait(lock, [&] { return done; });
    if (!met) std::this_thread::sleep_for(5ms);
  }
}

}  // namespace
}  // namespace dist

namespace {

/// Rank 0 has one connection to each rank. Throws InputError if it may not open so many.
void allow_connections(int size) {
  constexpr int64_t kOthers = 64;  // logs, files of libraries
  const int64_t most = raise_limit_of_open_files();
  if (most > size + kOthers + InputFile::most_open()) return;
  throw InputError(
      fmt::format("rank 0 needs a connection to each of {} ranks, and its limit of open files is {}; raise the limit "
                  "on its host (ulimit -Hn)",
                  size, most));
}

}  // namespace

std::unique_ptr<ProcessGroup> join_process_group(int rank, int size, const Rendezvous& rendezvous,
                                                 std::unique_ptr<RendezvousListener> listener, const std::string& about,
                                                 const Timeouts& timeouts, const Notice& notice) {
  if (listener) allow_connections(size);
  auto group = std::make_unique<dist::TcpProcessGroup>(rank, size, std::move(listener), timeouts);
  group->join(rendezvous, about, notice);
  return group;
}

}  // namespace lighthouse
