// Each rank's side of a group over TCP.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "hub.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/stop_signal.h"
#include "lighthouse/dist/group.h"
#include "rendezvous.h"

namespace lighthouse {

namespace dist {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

class TcpGroup final : public Group {
 public:
  TcpGroup(int rank, int size, std::unique_ptr<MeetingPlace> place, const Timeouts& timeouts)
      : rank_(rank),
        size_(size),
        place_(std::move(place)),
        timeouts_(timeouts),
        io_(place_ ? place_->listener->io : own_io_),
        timer_(io_) {}
  ~TcpGroup() override {
    if (thread_.joinable()) {
      wait_in_thread(3s, [this] { return !hub_ || !gone_now() || hub_->all_have_left(); });
      io_.stop();
      thread_.join();
    }
  }
  TcpGroup(const TcpGroup&) = delete;
  TcpGroup& operator=(const TcpGroup&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void join(const Rendezvous& rendezvous, const std::string& about, const Notice& notice);
  std::vector<std::string> gather(const std::string& mine, const std::string& what, Channel channel) override;
  void check(const std::string& what, Clock::duration waited) override {
    const std::lock_guard lock(mutex_);
    if (gone_) throw_gone(what);
    if (waited > timeouts_.stall) throw_stalled(what, timeouts_.stall);
  }
  void give_up(const std::string& why, bool refused) override;
  void finish() override;

 private:
  struct Gone {
    int rank;
    std::string why;
    bool refused;
  };

  void hear(Message message);
  void tick();
  void note_gone(const Gone& gone);
  [[noreturn]] void throw_gone(const std::string& what) const;
  [[noreturn]] void throw_stalled(const std::string& what, std::chrono::milliseconds waited) const;
  bool gone_now() {
    const std::lock_guard lock(mutex_);
    return gone_.has_value();
  }
  void send(const Message& message) {
    asio::post(io_, [this, message] { line_->send(message); });
  }
  /// Until `condition`, asked in the thread of the io_context, is true.
  template <typename Condition>
  void wait_in_thread(std::chrono::milliseconds limit, const Condition& condition);

  int rank_;
  int size_;
  asio::io_context own_io_;
  std::unique_ptr<MeetingPlace> place_;
  Timeouts timeouts_;
  asio::io_context& io_;
  asio::steady_timer timer_;
  std::optional<Hub> hub_;
  std::shared_ptr<Line> line_;
  Clock::time_point heard_;
  bool parted_ = false;  // these two in the thread
  bool closed_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool started_ = false;  // the first gathering has begun, in which all ranks meet
  std::array<uint64_t, 2> next_round_{};
  std::map<std::pair<uint8_t, uint64_t>, std::string> rounds_;
  std::optional<Gone> gone_;
  bool told_goodbye_ = false;
  std::thread thread_;
};

void TcpGroup::join(const Rendezvous& rendezvous, const std::string& about, const Notice& notice) {
  if (place_) {
    hub_.emplace(io_, place_->listener->acceptors, size_, rendezvous.token, timeouts_, notice);
    hub_->start();
  }
  Rendezvous reachable = rendezvous;
  if (place_) reachable.addresses = place_->own_address();
  line_ = std::make_shared<Line>(connect_to_rank0(io_, reachable, timeouts_.start, notice));
  heard_ = Clock::now();
  const auto closed = [this] {
    closed_ = true;
    if (parted_) return;
    note_gone({0, "rank 0 is gone: its connection closed, as it does when a process is killed", false});
  };
  line_->set_listener([this](Message message) { hear(std::move(message)); }, closed);
  line_->start();
  line_->send({Kind::kHello, 0, rank_, static_cast<uint64_t>(size_), pack({rendezvous.token, about})});
  tick();
  io_.restart();
  thread_ = std::thread([this] {
    keep_signals_from_this_thread();
    io_.run();
  });
  gather("", "the start of all ranks", Channel::kRun);
}

void TcpGroup::hear(Message message) {
  heard_ = Clock::now();
  const std::lock_guard lock(mutex_);
  switch (message.kind) {
    case Kind::kAll:
      rounds_[{message.channel, message.round}] = std::move(message.body);
      break;
    case Kind::kGone:
      if (!gone_) gone_ = Gone{message.rank, message.body, message.channel != 0};
      break;
    case Kind::kBye:
      told_goodbye_ = true;
      break;
    default:
      return;
  }
  changed_.notify_all();
}

void TcpGroup::tick() {
  line_->send({Kind::kHeartbeat, 0, rank_, 0, ""});
  if (!parted_ && Clock::now() - heard_ > timeouts_.silence) {
    note_gone(
        {0, fmt::format("rank 0 is gone: nothing was heard of it for {} s", timeouts_.silence.count() / 1000), false});
  }
  timer_.expires_after(heartbeat_of(timeouts_));
  timer_.async_wait([this](const asio::error_code& error) {
    if (!error) tick();
  });
}

void TcpGroup::note_gone(const Gone& gone) {
  const std::lock_guard lock(mutex_);
  if (!gone_) gone_ = gone;
  changed_.notify_all();
}

void TcpGroup::throw_gone(const std::string& what) const {
  throw PeerError(fmt::format("{}; rank {} was waiting for it in {}", gone_->why, rank_, what), gone_->rank,
                  gone_->refused);
}

void TcpGroup::throw_stalled(const std::string& what, std::chrono::milliseconds waited) const {
  throw PeerError(fmt::format("rank {} waited {} s in {}; the others live and do not come there", rank_,
                              waited.count() / 1000, what),
                  -1, false);
}

std::vector<std::string> TcpGroup::gather(const std::string& mine, const std::string& what, Channel channel) {
  std::unique_lock lock(mutex_);
  const auto index = static_cast<uint8_t>(channel);
  const std::pair<uint8_t, uint64_t> round{index, next_round_[index]++};
  if (gone_) throw_gone(what);
  send({Kind::kShare, index, rank_, round.second, mine});
  const bool started = std::exchange(started_, true);
  const auto limit = started ? timeouts_.stall : std::max(timeouts_.stall, timeouts_.start);
  const bool came = changed_.wait_for(lock, limit, [&] { return rounds_.count(round) != 0 || gone_.has_value(); });
  if (!came) throw_stalled(what, limit);
  const auto found = rounds_.find(round);
  if (found == rounds_.end()) throw_gone(what);
  std::vector<std::string> parts = unpack(found->second);
  rounds_.erase(found);
  return parts;
}

void TcpGroup::give_up(const std::string& why, bool refused) {
  send({Kind::kGone, static_cast<uint8_t>(refused ? 1 : 0), rank_, 0, why});
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 2s, [&] { return gone_.has_value(); });
  }
  wait_in_thread(2s, [this] { return line_->idle() && (!hub_ || hub_->idle()); });
  // A launcher kills all ranks when one ends: rank 0 says first what this one had to say.
  if (!hub_) wait_in_thread(3s, [this] { return closed_; });
}

void TcpGroup::finish() {
  asio::post(io_, [this] {
    parted_ = true;
    line_->send({Kind::kBye, 0, rank_, 0, ""});
  });
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 5s, [&] { return told_goodbye_ || gone_.has_value(); });
  }
  if (hub_) wait_in_thread(5s, [this] { return hub_->all_have_left(); });
}

template <typename Condition>
void TcpGroup::wait_in_thread(std::chrono::milliseconds limit, const Condition& condition) {
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

/// Rank 0 has a connection to each rank.
void allow_connections(int size) {
  constexpr int64_t kOthers = 64;  // logs, the libraries' own
  const int64_t most = raise_limit_of_open_files();
  if (most > size + kOthers + InputFile::most_open()) return;
  throw InputError(
      fmt::format("rank 0 has a connection to each of {} ranks, and may have {} open files; raise that limit on its "
                  "host (ulimit -Hn)",
                  size, most));
}

}  // namespace

std::unique_ptr<Group> meet(int rank, int size, const Rendezvous& rendezvous, std::unique_ptr<MeetingPlace> place,
                            const std::string& about, const Timeouts& timeouts, const Notice& notice) {
  if (place) allow_connections(size);
  auto group = std::make_unique<dist::TcpGroup>(rank, size, std::move(place), timeouts);
  group->join(rendezvous, about, notice);
  return group;
}

}  // namespace lighthouse
