#include "hub.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace lighthouse::dist {

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
    parts.push_back(packed.substr(at, length));
    at += length;
  }
  return parts;
}

Hub::Hub(asio::io_context& io, asio::ip::tcp::acceptor& acceptor, int size, const Timeouts& timeouts)
    : acceptor_(acceptor), timer_(io), timeouts_(timeouts), begin_(Clock::now()), members_(static_cast<size_t>(size)) {}

void Hub::start() {
  accept();
  tick();
}

void Hub::accept() {
  acceptor_.async_accept([this](const asio::error_code& error, asio::ip::tcp::socket socket) {
    if (error) return;
    auto line = std::make_shared<Line>(std::move(socket));
    line->set_listener(
        [this, weak = std::weak_ptr(line)](const Message& hello) {
          if (const auto caller = weak.lock()) greet(caller, hello);
        },
        [] {});
    line->start();
    accept();
  });
}

void Hub::greet(const std::shared_ptr<Line>& line, const Message& hello) {
  const auto size = static_cast<int32_t>(members_.size());
  const bool fits = hello.kind == Kind::kHello && hello.rank >= 0 && hello.rank < size &&
                    hello.round == members_.size() && !members_[static_cast<size_t>(hello.rank)].line;
  if (!fits && hello.kind == Kind::kHello) {  // it closes the connection when it has heard why
    const std::string why = fmt::format("has no place for rank {} of {}: it has {} ranks, each once", hello.rank,
                                        hello.round, members_.size());
    line->set_listener({}, {});
    return line->send({Kind::kGone, 1, 0, 0, name_of(0) + " " + why});
  }
  if (!fits) return line->close();
  const int rank = hello.rank;
  members_[static_cast<size_t>(rank)] = {line, hello.body, Clock::now(), false};
  const auto closed = [this, rank] {
    Member& member = members_[static_cast<size_t>(rank)];
    if (!member.left) tell_gone(rank, "is gone: its connection closed, as it does when a process is killed", false);
    member.left = true;
  };
  line->set_listener([this, rank](Message message) { hear(rank, std::move(message)); }, closed);
}

void Hub::hear(int rank, Message message) {
  Member& member = members_[static_cast<size_t>(rank)];
  member.heard = Clock::now();
  switch (message.kind) {
    case Kind::kShare:
      return take_share(rank, std::move(message));
    case Kind::kGone:
      return tell_gone(rank, "stopped: " + message.body, message.channel != 0);
    case Kind::kBye:
      member.left = true;
      return member.line->send({Kind::kBye, 0, rank, 0, ""});
    default:
      return;
  }
}

void Hub::take_share(int rank, Message message) {
  Round& round = rounds_[{message.channel, message.round}];
  round.resize(members_.size());
  round[static_cast<size_t>(rank)] = std::move(message.body);
  if (!std::all_of(round.begin(), round.end(), [](const auto& part) { return part.has_value(); })) return;
  std::vector<std::string> parts;
  parts.reserve(round.size());
  for (auto& part : round) parts.push_back(std::move(*part));
  const Message all{Kind::kAll, message.channel, 0, message.round, pack(parts)};
  rounds_.erase({message.channel, message.round});
  for (const Member& member : members_) member.line->send(all);
}

void Hub::tick() {
  const auto now = Clock::now();
  for (size_t i = 0; i < members_.size(); ++i) {
    const Member& member = members_[i];
    const auto rank = static_cast<int>(i);
    if (!member.line && now - begin_ > timeouts_.start) {
      tell_gone(rank, fmt::format("has not come within {} s", timeouts_.start.count() / 1000), false);
    }
    if (!member.line || member.left) continue;
    member.line->send({Kind::kHeartbeat, 0, 0, 0, ""});
    if (now - member.heard <= timeouts_.silence) continue;
    tell_gone(rank, fmt::format("is gone: nothing was heard of it for {} s", timeouts_.silence.count() / 1000), false);
  }
  timer_.expires_after(heartbeat_of(timeouts_));
  timer_.async_wait([this](const asio::error_code& error) {
    if (!error) tick();
  });
}

void Hub::tell_gone(int rank, const std::string& why, bool refused) {
  if (one_is_gone_) return;
  one_is_gone_ = true;
  const uint8_t how = refused ? 1 : 0;
  for (const Member& member : members_) {
    if (member.line) member.line->send({Kind::kGone, how, rank, 0, name_of(rank) + " " + why});
  }
}

std::string Hub::name_of(int rank) const {
  const std::string& about = members_[static_cast<size_t>(rank)].about;
  return about.empty() ? fmt::format("rank {}", rank) : fmt::format("rank {} ({})", rank, about);
}

bool Hub::all_have_left() const {
  return idle() && std::all_of(members_.begin(), members_.end(),
                               [](const Member& member) { return !member.line || member.left; });
}

bool Hub::idle() const {
  return std::all_of(members_.begin(), members_.end(),
                     [](const Member& member) { return !member.line || member.left || member.line->idle(); });
}

}  // namespace lighthouse::dist
