#include "rendezvous.h"

#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <sstream>
#include <thread>

#include "lighthouse/core/text.h"

namespace lighthouse {
namespace {

using asio::ip::tcp;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// Why an attempt failed, the least likely to pass first.
enum class Failure : uint8_t { kUnknownName, kNoNameService, kUnreachable, kRefused };

/// How long an attempt is repeated. Rank 0 may start some seconds after the others.
std::chrono::milliseconds patience_with(Failure failure) {
  switch (failure) {
    case Failure::kUnknownName:
    case Failure::kNoNameService:
      return 5s;
    case Failure::kUnreachable:
      return 10s;
    case Failure::kRefused:
      return 30s;
  }
  return 0s;
}

/// The failure of an attempt that is most likely to pass.
struct FailedAttempt {
  Failure failure = Failure::kUnknownName;
  std::string text;

  void note(Failure other, const std::string& why) {
    if (!text.empty() && other < failure) return;
    failure = other;
    text = why;
  }
};

std::vector<std::string> split_addresses(const std::string& addresses) {
  std::vector<std::string> parts;
  std::istringstream list(addresses);
  for (std::string part; std::getline(list, part, ',');) {
    const bool brackets = part.size() > 2 && part.front() == '[' && part.back() == ']';  // as URLs write IPv6
    parts.push_back(brackets ? part.substr(1, part.size() - 2) : part);
  }
  return parts;
}

std::vector<tcp::endpoint> resolve(asio::io_context& io, const std::string& address, int port, FailedAttempt& failed) {
  asio::error_code error;
  std::vector<tcp::endpoint> endpoints;
  tcp::resolver resolver(io);
  for (const auto& found : resolver.resolve(address, std::to_string(port), error))
    endpoints.push_back(found.endpoint());
  if (error) {
    const bool later = error == asio::error::host_not_found_try_again;
    failed.note(later ? Failure::kNoNameService : Failure::kUnknownName,
                fmt::format("the name {} cannot be resolved ({})", address, error.message()));
  }
  return endpoints;
}

/// Whether an address means this host on every host.
bool names_this_host(const std::string& address) {
  asio::error_code no_number;
  const auto number = asio::ip::make_address(address, no_number);
  return no_number ? address == "localhost" : number.is_loopback();
}

std::optional<tcp::acceptor> listen_at(asio::io_context& io, const tcp::endpoint& endpoint) {
  tcp::acceptor acceptor(io);
  asio::error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (error == asio::error::address_family_not_supported) return std::nullopt;
  if (error) throw std::system_error(error);
  acceptor.set_option(tcp::acceptor::reuse_address(true));
  const bool any = endpoint.address().is_unspecified();
  if (endpoint.protocol() == tcp::v6()) acceptor.set_option(asio::ip::v6_only(!any));
  acceptor.bind(endpoint, error);
  if (error.value() == EADDRNOTAVAIL)
    return std::nullopt;  // the address of another host, or of a family that is disabled
  if (error) throw std::system_error(error);
  acceptor.listen(4096);
  return acceptor;
}

/// The endpoints of `addresses`. Throws InputError if none resolves for some seconds.
std::vector<std::pair<std::string, tcp::endpoint>> resolve_all(asio::io_context& io, const std::string& addresses,
                                                               int port) {
  std::vector<std::pair<std::string, tcp::endpoint>> found;
  for (const auto end = Clock::now() + patience_with(Failure::kUnknownName); !addresses.empty();) {
    FailedAttempt failed;
    for (const std::string& address : split_addresses(addresses)) {
      for (const tcp::endpoint& endpoint : resolve(io, address, port, failed)) found.emplace_back(address, endpoint);
    }
    if (!found.empty()) break;
    if (Clock::now() > end) {
      throw InputError(
          fmt::format("other ranks cannot reach rank 0: {}; set MASTER_ADDR to an address of its host", failed.text));
    }
    std::this_thread::sleep_for(500ms);
  }
  return found;
}

/// Listens on those of `addresses` that belong to this host.
std::vector<tcp::acceptor> listen_at_own(asio::io_context& io, const std::string& addresses, int port) {
  std::vector<tcp::acceptor> acceptors;
  for (const auto& [address, endpoint] : resolve_all(io, addresses, port)) {
    const auto& here = endpoint.address();
    const bool known = std::any_of(acceptors.begin(), acceptors.end(), [&here](const tcp::acceptor& one) {
      return one.local_endpoint().address() == here;
    });
    // A name that resolves to the loopback here alone (127.0.1.1 in /etc/hosts) has another address elsewhere.
    if (known || (here.is_loopback() && !names_this_host(address))) continue;
    if (auto acceptor = listen_at(io, endpoint)) acceptors.push_back(std::move(*acceptor));
    if (port == 0 && !acceptors.empty()) break;  // a second acceptor would get another port
  }
  return acceptors;
}

/// This host's addresses, the loopback last.
std::string host_addresses() {
  std::vector<std::string> found;
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return "127.0.0.1";
  for (const int family : {AF_INET, AF_INET6}) {
    for (const ifaddrs* one = first; one != nullptr; one = one->ifa_next) {
      if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != family) continue;
      if ((one->ifa_flags & IFF_LOOPBACK) != 0 || (one->ifa_flags & IFF_UP) == 0) continue;
      std::array<char, NI_MAXHOST> text{};
      const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      if (getnameinfo(one->ifa_addr, size, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0) continue;
      const std::string address = text.data();
      if (address.find('%') == std::string::npos) found.push_back(address);  // "%": valid on one link only
    }
  }
  freeifaddrs(first);
  found.emplace_back("127.0.0.1");
  return join(found, ",");
}

std::optional<tcp::socket> connect(asio::io_context& io, const tcp::endpoint& endpoint, FailedAttempt& failed) {
  tcp::socket socket(io);
  io.restart();  // it stopped when it ran out of work
  bool done = false;
  asio::error_code result;
  socket.async_connect(endpoint, [&](const asio::error_code& error) {
    done = true;
    result = error;
  });
  const auto end = Clock::now() + 2s;
  while (!done && Clock::now() < end) io.run_one_for(50ms);
  if (!done) {
    socket.close();
    while (!done) io.run_one_for(50ms);
    failed.note(Failure::kUnreachable, fmt::format("{} does not answer", endpoint.address().to_string()));
    return std::nullopt;
  }
  if (!result) return socket;
  const bool refused = result == asio::error::connection_refused || result == asio::error::connection_reset;
  failed.note(refused ? Failure::kRefused : Failure::kUnreachable,
              fmt::format("{}: {}", endpoint.address().to_string(), result.message()));
  return std::nullopt;
}

std::optional<tcp::socket> connect_to_any(asio::io_context& io, const Rendezvous& rendezvous, FailedAttempt& failed) {
  for (const std::string& address : split_addresses(rendezvous.addresses)) {
    for (const tcp::endpoint& endpoint : resolve(io, address, rendezvous.port, failed)) {
      if (auto socket = connect(io, endpoint, failed)) return socket;
    }
  }
  return std::nullopt;
}

}  // namespace

RendezvousListener::Sockets::Sockets(int port, const std::string& addresses)
    : acceptors(listen_at_own(io, addresses, port)) {
  const auto at = static_cast<uint16_t>(port);
  for (const tcp::endpoint& all : {tcp::endpoint(tcp::v6(), at), tcp::endpoint(tcp::v4(), at)}) {
    if (!acceptors.empty()) return;
    if (auto acceptor = listen_at(io, all)) acceptors.push_back(std::move(*acceptor));
  }
}

bool RendezvousListener::Sockets::on_all_addresses() const {
  return acceptors.front().local_endpoint().address().is_unspecified();
}

RendezvousListener::RendezvousListener(int port, const std::string& addresses) {
  try {
    sockets = std::make_unique<Sockets>(port, addresses);
  } catch (const std::system_error& error) {
    throw InputError(
        fmt::format("rank 0 cannot listen on port {}: {}; set MASTER_PORT to one that is free", port, error.what()));
  }
}

RendezvousListener::~RendezvousListener() = default;
RendezvousListener::RendezvousListener(RendezvousListener&&) noexcept = default;

int RendezvousListener::port() const {
  return sockets->acceptors.front().local_endpoint().port();
}

std::string RendezvousListener::addresses() const {
  return sockets->on_all_addresses() ? host_addresses() : own_address();
}

std::string RendezvousListener::own_address() const {
  if (sockets->on_all_addresses()) return "127.0.0.1,::1";
  return sockets->acceptors.front().local_endpoint().address().to_string();
}

namespace dist {

tcp::socket connect_to_rank0(asio::io_context& io, const Rendezvous& rendezvous, std::chrono::milliseconds limit,
                             const Notice& notice) {
  const auto begin = Clock::now();
  const std::string where = fmt::format("cannot reach rank 0 at {}, port {}", rendezvous.addresses, rendezvous.port);
  bool noticed = false;
  while (true) {
    FailedAttempt failed;
    if (auto socket = connect_to_any(io, rendezvous, failed)) return std::move(*socket);
    const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
    if (waited >= std::min(limit, patience_with(failed.failure))) {
      throw PeerError(
          fmt::format("{}, within {} s: {}; start rank 0 on a host that all other ranks reach under that address",
                      where, waited.count() / 1000, failed.text),
          0, failed.failure == Failure::kUnknownName);
    }
    if (waited > 3s && !std::exchange(noticed, true)) notice(fmt::format("{}; retrying: {}", where, failed.text));
    std::this_thread::sleep_for(100ms);
  }
}

}  // namespace dist
}  // namespace lighthouse
