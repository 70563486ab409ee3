// Rendezvous over TCP: where rank 0 listens, and how the other ranks connect to it.
#pragma once

#include <asio.hpp>
#include <vector>

#include "lighthouse/dist/process_group.h"

namespace lighthouse {

struct RendezvousListener::Sockets {
  /// See RendezvousListener's constructor. Throws std::system_error if an address cannot be listened on.
  Sockets(int port, const std::string& addresses);

  bool on_all_addresses() const;

  asio::io_context io;
  std::vector<asio::ip::tcp::acceptor> acceptors;  // one or more, all on one port
};

namespace dist {

/// Connects to rank 0; retries while rank 0 may still be starting, and reports that once through `notice`. Throws
/// PeerError after 5 s if no name resolves, after 10 s if no host answers, after 30 s if the connection is refused, but
/// after `limit` at the latest.
asio::ip::tcp::socket connect_to_rank0(asio::io_context& io, const Rendezvous& rendezvous,
                                       std::chrono::milliseconds limit, const Notice& notice);

}  // namespace dist
}  // namespace lighthouse
