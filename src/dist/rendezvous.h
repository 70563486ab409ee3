// How ranks find each other over TCP: where rank 0 listens, and how the others connect to it.
#pragma once

#include <asio.hpp>
#include <vector>

#include "lighthouse/dist/process_group.h"

namespace lighthouse {

struct RendezvousListener::Sockets {
  /// As RendezvousListener's constructor. Throws std::system_error if an address cannot be listened on.
  Sockets(int port, const std::string& addresses);

  bool on_all_addresses() const;

  asio::io_context io;
  std::vector<asio::ip::tcp::acceptor> acceptors;  // one or more, all on one port
};

namespace dist {

/// Connects to rank 0, again and again while it may still be starting. Says once through `notice` what it waits for.
/// Throws PeerError, after some seconds if no name resolves or no host is reached, after half a minute if the
/// connection is refused, but at the latest after `limit`.
asio::ip::tcp::socket connect_to_rank0(asio::io_context& io, const Rendezvous& rendezvous,
                                       std::chrono::milliseconds limit, const Notice& notice);

}  // namespace dist
}  // namespace lighthouse
