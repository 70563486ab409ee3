// Rank 0's side of a group: it hears every rank, tells all when one is gone, and hands round what each one gave.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <vector>

#include "connection.h"
#include "lighthouse/dist/process_group.h"

namespace lighthouse::dist {

/// Lives in the thread of its io_context.
class Coordinator {
 public:
  /// `token`: what a rank must show to be admitted. `notice` hears of ranks that are waited for. `acceptors` must
  /// outlive it.
  Coordinator(asio::io_context& io, std::vector<asio::ip::tcp::acceptor>& acceptors, int size, std::string token,
              const Timeouts& timeouts, Notice notice);

  void start();
  /// Whether every rank has parted or lost its connection, and all that was sent is on its way.
  bool all_have_left() const;
  bool idle() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Member {
    std::shared_ptr<Connection> connection;
    std::string about;
    Clock::time_point last_heard;
    bool left = false;
  };
  using Round = std::vector<std::optional<std::string>>;

  void accept(asio::ip::tcp::acceptor& acceptor);
  void accept_later(asio::ip::tcp::acceptor& acceptor);
  /// Why a rank is not admitted; empty if it is.
  std::string rejection_reason(const Message& hello, const std::string& token) const;
  void admit(const std::shared_ptr<Connection>& connection, const Message& hello);
  void receive(int rank, Message message);
  void add_contribution(int rank, Message message);
  void tick();
  void report_missing_ranks();
  /// The first one that is gone is told to all.
  void broadcast_exit(int rank, const std::string& why, bool refused);
  std::string name_of(int rank) const;

  std::vector<asio::ip::tcp::acceptor>& acceptors_;
  asio::steady_timer timer_;
  std::string token_;
  Notice notice_;
  bool reported_missing_ = false;
  Timeouts timeouts_;
  Clock::time_point begin_;
  std::vector<Member> members_;
  std::map<std::pair<uint8_t, uint64_t>, Round> rounds_;
  bool exit_broadcast_ = false;
};

/// How often a rank says that it lives.
std::chrono::milliseconds heartbeat_of(const Timeouts& timeouts);

/// Texts in one: each with its length before it. unpack() ends at a length that leads beyond the end.
std::string pack(const std::vector<std::string>& parts);
std::vector<std::string> unpack(const std::string& packed);

}  // namespace lighthouse::dist
