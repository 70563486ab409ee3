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

/// What the fields mean depends on the kind; see Coordinator and TcpProcessGroup.
struct Message {
  Kind kind = Kind::kHeartbeat;
  uint8_t channel = 0;
  int32_t rank = 0;
  uint64_t round = 0;
  std::string body;
};

/// A connection. All of its functions are called, and call back, in the thread of its io_context.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using OnMessage = std::function<void(Message)>;
  using OnClosed = std::function<void()>;
  static constexpr uint32_t kLongest = uint32_t{1} << 30;

  explicit Connection(asio::ip::tcp::socket socket);

  /// Who hears it. `closed` is called once, unless close() was.
  void set_listener(OnMessage message, OnClosed closed);
  /// Begins to listen. Once.
  void start() { read_header(); }
  void send(const Message& message);
  /// Closes the connection at a longer message from now on.
  void limit_messages(uint32_t bytes) { longest_ = bytes; }
  void close();
  /// Whether all that was sent is on its way.
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
