// The ranks of a run as a group of processes: who is alive, and what they agree on. Small things go through here
// (settings, verdicts, a vote); tensors go through a Communicator.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lighthouse/core/error.h"

namespace lighthouse {

/// Another rank is gone or has given up, so this one stops too. `what()` names it and what was waited for.
class PeerError : public RunError {
 public:
  PeerError(const std::string& message, int rank, bool refused) : RunError(message), rank_(rank), refused_(refused) {}
  /// Who is gone.
  int rank() const { return rank_; }
  /// It refused its input: exit code 2 for all.
  bool refused() const { return refused_; }

 private:
  int rank_;
  bool refused_;
};

/// Threads may agree beside each other if each does so on a channel of its own.
enum class Channel : uint8_t { kRun, kCheckpoint };

class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  bool is_rank0() const { return rank() == 0; }

  /// What each rank gave, in the order of ranks. All ranks make the same calls, in the same order on each channel.
  /// Waits for all, for at most Timeouts::stall. Throws PeerError; `what` says in it what was waited for.
  virtual std::vector<std::string> gather(const std::string& mine, const std::string& what,
                                          Channel channel = Channel::kRun) = 0;
  /// Throws PeerError if a rank is gone, or if `what` has been waited for longer than Timeouts::stall. Costs nothing.
  virtual void check(const std::string& what, std::chrono::steady_clock::duration waited = {}) = 0;
  /// Tells the others that this rank gives up, and why: they stop with a PeerError. Waits until that is under way.
  virtual void abort(const std::string& why, bool refused) = 0;
  /// Parts in peace: all have done what they had to.
  virtual void finish() = 0;

  void barrier(const std::string& what, Channel channel = Channel::kRun) { gather("", what, channel); }
  /// Rank 0's.
  std::string broadcast(const std::string& mine, const std::string& what, Channel channel = Channel::kRun) {
    return gather(is_rank0() ? mine : "", what, channel).front();
  }
};

/// One process: agrees with itself.
std::unique_ptr<ProcessGroup> make_single_process_group();

struct Timeouts {
  std::chrono::milliseconds silence{30'000};   // a rank that is not heard of for so long is gone
  std::chrono::milliseconds stall{1'800'000};  // ranks that live, and do not come to what others wait for
  std::chrono::milliseconds start{300'000};    // for all ranks to be there
};

/// This host alone.
inline constexpr const char* kLoopback = "127.0.0.1,::1";

/// Where the other ranks find rank 0, and what they show there.
struct Rendezvous {
  std::string addresses;  // names or numbers, IPv4 or IPv6, separated by commas: the first that answers
  int port = 0;
  std::string token;  // rank 0 admits only ranks that bring its own; kept from those who must not join
};

/// Says to the user what is waited for. Called from any thread.
using Notice = std::function<void(const std::string& text)>;

/// Where rank 0 listens: a port open for the others, before it is known who they are.
class RendezvousListener {
 public:
  /// Listens at those of `addresses` (as in Rendezvous) that are this host's; on all addresses if there are none, as
  /// with a name that another machine translates, or one that only this host takes for its loopback. Port 0: any that
  /// is free. Throws InputError if the port is taken, or if for some seconds none of `addresses` resolves.
  explicit RendezvousListener(int port = 0, const std::string& addresses = "");
  ~RendezvousListener();
  RendezvousListener(RendezvousListener&&) noexcept;

  int port() const;
  /// Where others reach it, separated by commas: if it listens on all addresses, those of this host, the loopback last.
  std::string addresses() const;
  /// Where this process reaches it.
  std::string own_address() const;

  struct Sockets;
  std::unique_ptr<Sockets> sockets;
};

/// Joins the other ranks over TCP. Rank 0 brings its `listener`. `about` is said of this rank where it is named: its
/// host and process. Each rank holds one connection to rank 0, so that the end of a process is noticed when its system
/// closes it, and the end of a host when its heartbeats stop. Throws PeerError if rank 0 is not reached (after seconds,
/// long before Timeouts::start, if its name does not resolve or its host does not answer), if it does not admit this
/// rank, or if not all ranks join within Timeouts::start. `notice` hears of a wait of more than some seconds.
std::unique_ptr<ProcessGroup> join_process_group(
    int rank, int size, const Rendezvous& rendezvous, std::unique_ptr<RendezvousListener> listener,
    const std::string& about, const Timeouts& timeouts, const Notice& notice = [](const std::string&) {});

/// "host 12345": this process, for `about`.
std::string this_process();

}  // namespace lighthouse
