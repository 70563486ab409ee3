// Messages over one TCP connection.
#pragma once

#include <asio.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

namespace lighthouse::dist {

enum class Kind : uint8_t { kHello, kHeartbeat, kContribution, kGathered, kExited, kLeave };

/// Fields that a kind does not mention are 0.
///   kHello         rank; round: number of ranks; body: pack(token, about)
///   kHeartbeat
///   kContribution  channel, round: the gather(); body: the rank's text
///   kGathered      channel, round: the gather(); body: pack(texts of all ranks)
///   kExited        rank; channel: 1 if it refused its input; body: the reason
///   kLeave         from a rank, and back to it
struct Message {
  Kind kind = Kind::kHeartbeat;
  uint8_t channel = 0;
  int32_t rank = 0;
  uint64_t round = 0;
  std::string body;
};

/// All functions are called in the thread of the socket's io_context, which also makes the callbacks.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using OnMessage = std::function<void(Message)>;
  using OnClosed = std::function<void()>;
  static constexpr uint32_t kLongest = uint32_t{1} << 30;

  explicit Connection(asio::ip::tcp::socket socket);

  /// `message` is called with each message, `closed` once when the connection is lost; neither after close().
  void set_listener(OnMessage message, OnClosed closed);
  /// Starts to read. Called once.
  void start() { read_header(); }
  void send(const Message& message);
  /// From now on a longer message closes the connection.
  void limit_messages(uint32_t bytes) { longest_ = bytes; }
  void close();
  /// Whether all messages are handed to the system.
  bool idle() const { return waiting_.empty(); }

 private:
  struct Header {
    uint32_t length = 0;
    Kind kind = Kind::kHeartbeat;
    uint8_t channel = 0;
    uint16_t magic = kMagic;
    int32_t rank = 0;
    int32_t unused = 0;
    uint64_t round = 0;
  };
  static constexpr uint16_t kMagic = 0x4c48;

  void read_header();
  void read_body();
  void write();
  void fail();

  asio::ip::tcp::socket socket_;
  OnMessage message_;
  OnClosed closed_;
  uint32_t longest_ = kLongest;
  Header header_;
  std::string body_;
  std::deque<std::string> waiting_;
};

}  // namespace lighthouse::dist
