#include "coordinator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace lighthouse::dist {
namespace {

constexpr uint32_t kLongestHello = 4096;  // bytes of a message before admission

}  // namespace

std::chrono::milliseconds heartbeat_of(const Timeouts& timeouts) {
  return std::clamp(timeouts.silence / 10, std::chrono::milliseconds(20), std::chrono::milliseconds(1000));
}

std::string pack(const std::vector<std::string>& parts) {
  std::string packed;
  for (const std::string& part : parts) {
    const uint64_t length = part.size();
    packed.append(reinterpret_cast<const char*>(&length), sizeof(length));
    packed += part;
  }
  return packed;
}

std::vector<std::string> unpack(const std::string& packed) {
  std::vector<std::string> parts;
  for (size_t at = 0; at + sizeof(uint64_t) <= packed.size();) {
    uint64_t length = 0;
    std::memcpy(&length, packed.data() + at, sizeof(length));
    at += sizeof(length);
    if (length > packed.size() - at) break;
    parts.push_back(packed.substr(at, length));
    at += length;
  }
  return parts;
}

Coordinator::Coordinator(asio::io_context& io, std::vector<asio::ip::tcp::acceptor>& acceptors, int size,
                         std::string token, const Timeouts& timeouts, Notice notice)
    : acceptors_(acceptors),
      timer_(io),
      token_(std::move(token)),
      notice_(std::move(notice)),
      timeouts_(timeouts),
      begin_(Clock::now()),
      members_(static_cast<size_t>(size)) {}

void Coordinator::start() {
  for (auto& acceptor : acceptors_) accept(acceptor);
  tick();
}

void Coordinator::accept(asio::ip::tcp::acceptor& acceptor) {
  acceptor.async_accept([this, &acceptor](const asio::error_code& error, asio::ip::tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) return accept_later(acceptor);
    auto connection = std::make_shared<Connection>(std::move(socket));
    connection->limit_messages(kLongestHello);
    connection->set_listener(
        [this, weak = std::weak_ptr(connection)](const Message& hello) {
          if (const auto caller = weak.lock()) admit(caller, hello);
        },
        [] {});
    connection->start();
    accept(acceptor);
  });
}

/// After a failed accept: the caller hung up, or too many files are open. Later accepts may succeed.
void Coordinator::accept_later(asio::ip::tcp::acceptor& acceptor) {
  auto pause = std::make_shared<asio::steady_timer>(acceptor.get_executor(), std::chrono::milliseconds(100));
  pause->async_wait([this, &acceptor, pause](const asio::error_code& error) {
    if (!error) accept(acceptor);
  });
}

std::string Coordinator::rejection_reason(const Message& hello, const std::string& token) const {
  const auto size = static_cast<int32_t>(members_.size());
  if (token != token_) {
    return fmt::format(
        "does not admit rank {}: its token differs; set LIGHTHOUSE_TOKEN to the same value for all ranks", hello.rank);
  }
  const bool fits = hello.rank >= 0 && hello.rank < size && hello.round == members_.size() &&
                    !members_[static_cast<size_t>(hello.rank)].connection;
  if (fits) return "";
  return fmt::format("does not admit rank {} of {}: it expects {} ranks, each once", hello.rank, hello.round, size);
}

void Coordinator::admit(const std::shared_ptr<Connection>& connection, const Message& hello) {
  const std::vector<std::string> parts = unpack(hello.body);  // token, about
  if (hello.kind != Kind::kHello || parts.size() != 2) return connection->close();
  if (const std::string why = rejection_reason(hello, parts[0]); !why.empty()) {
    connection->set_listener({}, {});  // the rank closes the connection once it has the reason
    return connection->send({Kind::kExited, 1, 0, 0, name_of(0) + " " + why});
  }
  const int rank = hello.rank;
  connection->limit_messages(Connection::kLongest);
  members_[static_cast<size_t>(rank)] = {connection, parts[1], Clock::now(), false};
  const auto closed = [this, rank] {
    Member& member = members_[static_cast<size_t>(rank)];
    if (!member.left) broadcast_exit(rank, "exited: its connection closed, as when a process is killed", false);
    member.left = true;
  };
  connection->set_listener([this, rank](Message message) { receive(rank, std::move(message)); }, closed);
}

void Coordinator::receive(int rank, Message message) {
  Member& member = members_[static_cast<size_t>(rank)];
  member.last_heard = Clock::now();
  switch (message.kind) {
    case Kind::kContribution:
      return add_contribution(rank, std::move(message));
    case Kind::kExited:
      return broadcast_exit(rank, "stopped: " + message.body, message.channel != 0);
    case Kind::kLeave:
      member.left = true;
      return member.connection->send({Kind::kLeave, 0, rank, 0, ""});
    default:
      return;
  }
}

void Coordinator::add_contribution(int rank, Message message) {
  Round& round = rounds_[{message.channel, message.round}];
  round.resize(members_.size());
  round[static_cast<size_t>(rank)] = std::move(message.body);
  if (!std::all_of(round.begin(), round.end(), [](const auto& part) { return part.has_value(); })) return;
  std::vector<std::string> parts;
  parts.reserve(round.size());
  for (auto& part : round) parts.push_back(std::move(*part));
  const Message all{Kind::kGathered, message.channel, 0, message.round, pack(parts)};
  rounds_.erase({message.channel, message.round});
  for (const Member& member : members_) member.connection->send(all);
}

void Coordinator::tick() {
  const auto now = Clock::now();
  for (size_t i = 0; i < members_.size(); ++i) {
    const Member& member = members_[i];
    const auto rank = static_cast<int>(i);
    if (!member.connection && now - begin_ > timeouts_.start) {
      broadcast_exit(rank, fmt::format("did not join within {} s", timeouts_.start.count() / 1000), false);
    }
    if (!member.connection || member.left) continue;
    member.connection->send({Kind::kHeartbeat, 0, 0, 0, ""});
    if (now - member.last_heard <= timeouts_.silence) continue;
    broadcast_exit(rank, fmt::format("does not respond: no heartbeat for {} s", timeouts_.silence.count() / 1000),
                   false);
  }
  report_missing_ranks();
  timer_.expires_after(heartbeat_of(timeouts_));
  timer_.async_wait([this](const asio::error_code& error) {
    if (!error) tick();
  });
}

void Coordinator::report_missing_ranks() {
  constexpr std::chrono::seconds kPatience{10};
  if (reported_missing_ || Clock::now() - begin_ < kPatience) return;
  reported_missing_ = true;
  int64_t missing = 0;
  std::string first;
  for (size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].connection) continue;
    if (missing++ == 0) first = name_of(static_cast<int>(i));
  }
  if (missing == 0) return;
  notice_(fmt::format("waiting for {} of {} ranks to join, the first of them {}, for up to {} s", missing,
                      members_.size(), first, timeouts_.start.count() / 1000));
}

void Coordinator::broadcast_exit(int rank, const std::string& why, bool refused) {
  if (exit_broadcast_) return;
  exit_broadcast_ = true;
  const uint8_t how = refused ? 1 : 0;
  for (const Member& member : members_) {
    if (member.connection) member.connection->send({Kind::kExited, how, rank, 0, name_of(rank) + " " + why});
  }
}

std::string Coordinator::name_of(int rank) const {
  const std::string& about = members_[static_cast<size_t>(rank)].about;
  return about.empty() ? fmt::format("rank {}", rank) : fmt::format("rank {} ({})", rank, about);
}

bool Coordinator::all_have_left() const {
  return idle() && std::all_of(members_.begin(), members_.end(),
                               [](const Member& member) { return !member.connection || member.left; });
}

bool Coordinator::idle() const {
  return std::all_of(members_.begin(), members_.end(), [](const Member& member) {
    return !member.connection || member.left || member.connection->idle();
  });
}

}  // namespace lighthouse::dist
