#include "hub.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace lighthouse::dist {
namespace {

constexpr uint32_t kLongestHello = 4096;  // of those who are not admitted yet

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

Hub::Hub(asio::io_context& io, std::vector<asio::ip::tcp::acceptor>& acceptors, int size, std::string token,
         const Timeouts& timeouts, Notice notice)
    : acceptors_(acceptors),
      timer_(io),
      token_(std::move(token)),
      notice_(std::move(notice)),
      timeouts_(timeouts),
      begin_(Clock::now()),
      members_(static_cast<size_t>(size)) {}

void Hub::start() {
  for (auto& acceptor : acceptors_) accept(acceptor);
  tick();
}

void Hub::accept(asio::ip::tcp::acceptor& acceptor) {
  acceptor.async_accept([this, &acceptor](const asio::error_code& error, asio::ip::tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) return accept_later(acceptor);
    auto line = std::make_shared<Line>(std::move(socket));
    line->limit_messages(kLongestHello);
    line->set_listener(
        [this, weak = std::weak_ptr(line)](const Message& hello) {
          if (const auto caller = weak.lock()) greet(caller, hello);
        },
        [] {});
    line->start();
    accept(acceptor);
  });
}

/// A caller that hung up, or too many open files: the next one may be admitted.
void Hub::accept_later(asio::ip::tcp::acceptor& acceptor) {
  auto pause = std::make_shared<asio::steady_timer>(acceptor.get_executor(), std::chrono::milliseconds(100));
  pause->async_wait([this, &acceptor, pause](const asio::error_code& error) {
    if (!error) accept(acceptor);
  });
}

std::string Hub::why_not(const Message& hello, const std::string& token) const {
  const auto size = static_cast<int32_t>(members_.size());
  if (token != token_) {
    return fmt::format("does not admit rank {}: its token is another one; set LIGHTHOUSE_TOKEN alike for all ranks",
                       hello.rank);
  }
  const bool fits = hello.rank >= 0 && hello.rank < size && hello.round == members_.size() &&
                    !members_[static_cast<size_t>(hello.rank)].line;
  if (fits) return "";
  return fmt::format("has no place for rank {} of {}: it has {} ranks, each once", hello.rank, hello.round, size);
}

void Hub::greet(const std::shared_ptr<Line>& line, const Message& hello) {
  const std::vector<std::string> said = unpack(hello.body);  // the token, and who it is
  if (hello.kind != Kind::kHello || said.size() != 2) return line->close();
  if (const std::string why = why_not(hello, said[0]); !why.empty()) {
    line->set_listener({}, {});  // it closes the connection when it has heard why
    return line->send({Kind::kGone, 1, 0, 0, name_of(0) + " " + why});
  }
  const int rank = hello.rank;
  line->limit_messages(Line::kLongest);
  members_[static_cast<size_t>(rank)] = {line, said[1], Clock::now(), false};
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
  notice_missing();
  timer_.expires_after(heartbeat_of(timeouts_));
  timer_.async_wait([this](const asio::error_code& error) {
    if (!error) tick();
  });
}

void Hub::notice_missing() {
  constexpr std::chrono::seconds kPatience{10};
  if (noticed_ || Clock::now() - begin_ < kPatience) return;
  noticed_ = true;
  int64_t missing = 0;
  std::string first;
  for (size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].line) continue;
    if (missing++ == 0) first = name_of(static_cast<int>(i));
  }
  if (missing == 0) return;
  notice_(fmt::format("{} of {} ranks have not joined yet, the first of them {}; they are waited for up to {} s",
                      missing, members_.size(), first, timeouts_.start.count() / 1000));
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
