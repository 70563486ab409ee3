// The processes of a run: notices when one exits, and exchanges small texts (settings, results of checks, stop
// requests). Tensors go through a Communicator.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lighthouse/core/error.h"

namespace lighthouse {

/// Another rank has exited, does not respond, or has called abort(), so this rank stops too. what() names that rank and
/// the operation that was waiting for it.
class PeerError : public RunError {
 public:
  PeerError(const std::string& message, int rank, bool refused) : RunError(message), rank_(rank), refused_(refused) {}
  /// The other rank; -1 if it is not known.
  int rank() const { return rank_; }
  /// The other rank refused its input: all ranks end with exit code 2.
  bool refused() const { return refused_; }

 private:
  int rank_;
  bool refused_;
};

/// Independent sequences of gather() calls. Two threads may call gather() at the same time on different channels.
enum class Channel : uint8_t { kRun, kCheckpoint };

/// Functions may be called from any thread, gather() and what uses it from one thread for each channel.
class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  bool is_rank0() const { return rank() == 0; }

  /// The `mine` of all ranks, in the order of ranks. All ranks make the same calls in the same order on each channel.
  /// Waits for all ranks, at most Timeouts::stall. Throws PeerError, which names `what`.
  virtual std::vector<std::string> gather(const std::string& mine, const std::string& what,
                                          Channel channel = Channel::kRun) = 0;
  /// Throws PeerError if a rank has exited or aborted, or if `waited`, the time spent in `what` so far, exceeds
  /// Timeouts::stall. Does not communicate; cheap enough for a polling loop.
  virtual void check(const std::string& what, std::chrono::steady_clock::duration waited = {}) = 0;
  /// Makes all other ranks throw PeerError with the reason `why`. Returns when the message is sent, after a few seconds
  /// at most.
  virtual void abort(const std::string& why, bool refused) = 0;
  /// Leaves the group after success: the end of this process is no error then. Waits some seconds for the others.
  virtual void finish() = 0;

  void barrier(const std::string& what, Channel channel = Channel::kRun) { gather("", what, channel); }
  /// Rank 0's `mine`.
  std::string broadcast(const std::string& mine, const std::string& what, Channel channel = Channel::kRun) {
    return gather(is_rank0() ? mine : "", what, channel).front();
  }
};

/// A group of one process.
std::unique_ptr<ProcessGroup> make_single_process_group();

struct Timeouts {
  std::chrono::milliseconds silence{30'000};   // a rank without a heartbeat for so long counts as exited
  std::chrono::milliseconds stall{1'800'000};  // for ranks that are alive but do not reach a collective
  std::chrono::milliseconds start{300'000};    // for all ranks to join
};

/// Addresses of this host, for ranks on this host alone.
inline constexpr const char* kLoopback = "127.0.0.1,::1";

/// How ranks reach rank 0 to join.
struct Rendezvous {
  std::string addresses;  // names or numbers, IPv4 or IPv6, separated by commas; the first that answers is used
  int port = 0;
  std::string token;  // rank 0 admits only ranks with the same token
};

/// Tells the user why joining takes long. Called from any thread.
using Notice = std::function<void(const std::string& text)>;

/// Rank 0's listening sockets, opened before the other ranks know the port.
class RendezvousListener {
 public:
  /// Listens at those of `addresses` (as in Rendezvous) that belong to this host. Listens on all interfaces if none
  /// does (behind a proxy or address translation), or if a name resolves to the loopback here only. Port 0: any free
  /// port. Throws InputError if the port is taken, or if none of `addresses` resolves within some seconds.
  explicit RendezvousListener(int port = 0, const std::string& addresses = "");
  ~RendezvousListener();
  RendezvousListener(RendezvousListener&&) noexcept;

  int port() const;
  /// The addresses at which others reach it, separated by commas. If it listens on all interfaces: all addresses of
  /// this host, the loopback last.
  std::string addresses() const;
  /// The address at which this process reaches it.
  std::string own_address() const;

  struct Sockets;
  std::unique_ptr<Sockets> sockets;
};

/// Joins the other ranks over TCP. Rank 0 passes its `listener`, other ranks null. `about` follows this rank's number
/// in messages (this_process()). `notice` is called if joining takes more than some seconds.
///
/// Each rank has one connection to rank 0. A process that ends is noticed when its system closes the connection, a host
/// that fails when its heartbeats stop.
///
/// Throws PeerError if rank 0 is not reached (after some seconds, well before Timeouts::start, if its name does not
/// resolve or its host does not answer), if rank 0 does not admit this rank, or if not all ranks join within
/// Timeouts::start.
std::unique_ptr<ProcessGroup> join_process_group(
    int rank, int size, const Rendezvous& rendezvous, std::unique_ptr<RendezvousListener> listener,
    const std::string& about, const Timeouts& timeouts, const Notice& notice = [](const std::string&) {});

/// "host, process 12345"
std::string this_process();

}  // namespace lighthouse
