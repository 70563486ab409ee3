#include "connection.h"

#include <cstdint>
#include <cstring>

namespace lighthouse::dist {

Connection::Connection(asio::ip::tcp::socket socket) : socket_(std::move(socket)) {
  asio::error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
}

void Connection::set_listener(OnMessage message, OnClosed closed) {
  message_ = std::move(message);
  closed_ = std::move(closed);
}

void Connection::read_header() {
  asio::async_read(socket_, asio::buffer(&header_, sizeof(header_)),
                   [self = shared_from_this()](const asio::error_code& error, size_t) {
                     const bool sound = self->header_.magic == kMagic && self->header_.length <= self->longest_;
                     if (error || !sound) return self->fail();
                     self->body_.resize(self->header_.length);
                     self->read_body();
                   });
}

void Connection::read_body() {
  asio::async_read(socket_, asio::buffer(body_), [self = shared_from_this()](const asio::error_code& error, size_t) {
    if (error) return self->fail();
    const Header& header = self->header_;
    const OnMessage message = self->message_;  // a copy: the call may replace it
    if (message) message({header.kind, header.channel, header.rank, header.round, std::move(self->body_)});
    if (self->socket_.is_open()) self->read_header();
  });
}

void Connection::send(const Message& message) {
  if (!socket_.is_open()) return;
  Header header;
  header.length = static_cast<uint32_t>(message.body.size());
  header.kind = message.kind;
  header.channel = message.channel;
  header.rank = message.rank;
  header.round = message.round;
  std::string bytes(sizeof(header), '\0');
  std::memcpy(bytes.data(), &header, sizeof(header));
  waiting_.push_back(bytes + message.body);
  if (waiting_.size() == 1) write();
}

void Connection::write() {
  asio::async_write(socket_, asio::buffer(waiting_.front()),
                    [self = shared_from_this()](const asio::error_code& error, size_t) {
                      if (error) {
                        self->waiting_.clear();
                        return self->fail();
                      }
                      self->waiting_.pop_front();
                      if (!self->waiting_.empty()) self->write();
                    });
}

void Connection::close() {
  message_ = nullptr;
  closed_ = nullptr;
  asio::error_code ignored;
  socket_.close(ignored);
}

void Connection::fail() {
  const OnClosed closed = std::move(closed_);
  close();
  if (closed) closed();
}

}  // namespace lighthouse::dist
