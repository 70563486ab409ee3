// Rank 0's side of a process group.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <vector>

#include "connection.h"
#include "lighthouse/dist/process_group.h"

namespace lighthouse::dist {

/// Admits ranks, returns to all ranks the texts of a gather(), and tells all ranks when one has exited. All functions
/// run in the thread of the io_context.
class Coordinator {
 public:
  /// Admits `size` ranks that send `token`. `notice` is called if ranks are missing after some seconds. `acceptors`
  /// must outlive it.
  Coordinator(asio::io_context& io, std::vector<asio::ip::tcp::acceptor>& acceptors, int size, std::string token,
              const Timeouts& timeouts, Notice notice);

  void start();
  /// Whether every rank has left or lost its connection, and idle().
  bool all_have_left() const;
  /// Whether all messages are handed to the system.
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
  /// Why a rank is not admitted; empty if it is admitted.
  std::string rejection_reason(const Message& hello, const std::string& token) const;
  void admit(const std::shared_ptr<Connection>& connection, const Message& hello);
  void receive(int rank, Message message);
  void add_contribution(int rank, Message message);
  void tick();
  void report_missing_ranks();
  /// Tells all ranks of the first rank that exits; later calls do nothing.
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

/// The interval between heartbeats.
std::chrono::milliseconds heartbeat_of(const Timeouts& timeouts);

/// Several texts in one, each after its length. unpack() stops at a length that exceeds what is left.
std::string pack(const std::vector<std::string>& parts);
std::vector<std::string> unpack(const std::string& packed);

}  // namespace lighthouse::dist
