#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "lighthouse/dist/mesh.h"
#include "lighthouse/dist/ranks.h"

namespace lighthouse {
namespace {

using namespace std::chrono_literals;

/// Calls `body` for each rank of a group, each in a thread of this process.
void as_ranks(int size, const std::function<void(std::unique_ptr<ProcessGroup>& group)>& body, Timeouts timeouts = {}) {
  timeouts.start = 20s;
  auto listener = std::make_unique<RendezvousListener>();
  const int port = listener->port();
  std::vector<std::future<void>> ranks;
  for (int rank = 0; rank < size; ++rank) {
    ranks.push_back(std::async(std::launch::async, [&, rank] {
      auto group = join_process_group(rank, size, {"127.0.0.1", port, ""}, rank == 0 ? std::move(listener) : nullptr,
                                      "a thread", timeouts);
      body(group);
    }));
  }
  for (auto& rank : ranks) rank.get();
}

/// The text of the PeerError that `body` throws; "no error" if it throws none.
std::string peer_error(const std::function<void()>& body) {
  try {
    body();
  } catch (const PeerError& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(GroupTest, OneProcessGathersItsOwnText) {
  const auto group = make_single_process_group();
  EXPECT_EQ(group->gather("x", "a test"), std::vector<std::string>{"x"});
  EXPECT_TRUE(group->is_rank0());
}

TEST(GroupTest, GathersInTheOrderOfRanksAgainAndAgain) {
  as_ranks(4, [](auto& group) {
    for (int round = 0; round < 50; ++round) {
      const std::string suffix = "/" + std::to_string(round);
      const auto all = group->gather(std::to_string(group->rank()) + suffix, "a test");
      for (size_t rank = 0; rank < 4; ++rank) ASSERT_EQ(all.at(rank), std::to_string(rank) + suffix);
      ASSERT_EQ(group->broadcast(std::to_string(group->rank()), "a test"), "0");
    }
    const auto large = group->gather(std::string(1 << 20, static_cast<char>('a' + group->rank())), "large texts");
    EXPECT_EQ(large.at(3), std::string(1 << 20, 'd'));
    group->finish();
  });
}

TEST(GroupTest, ChannelsDoNotMix) {
  as_ranks(3, [](auto& group) {
    const auto of = [&](Channel channel, const std::string& name) {
      for (int round = 0; round < 30; ++round) {
        for (const std::string& one : group->gather(name, "a test", channel)) ASSERT_EQ(one, name);
      }
    };
    auto checkpoint = std::async(std::launch::async, [&] { of(Channel::kCheckpoint, "checkpoint"); });
    of(Channel::kRun, "run");
    checkpoint.get();
    group->finish();
  });
}

TEST(GroupTest, ALostConnectionNamesTheRankAndTheWaitingOperation) {
  for (const int victim : {0, 2}) {
    as_ranks(4, [victim](auto& group) {
      group->barrier("the start");
      if (group->rank() == victim) return group.reset();  // as when a process is killed
      const auto begin = std::chrono::steady_clock::now();
      const std::string error = peer_error([&] { group->gather("", "the sum of all things"); });
      EXPECT_TRUE(contains(error, "rank " + std::to_string(victim))) << error;
      EXPECT_TRUE(contains(error, "waiting for it in the sum of all things")) << error;
      EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
      EXPECT_THROW(group->check("anything"), PeerError);
    });
  }
}

TEST(GroupTest, HeartbeatsContinueWhileARankComputes) {
  Timeouts timeouts;
  timeouts.silence = 300ms;
  as_ranks(
      2,
      [](auto& group) {
        group->barrier("the start");
        std::this_thread::sleep_for(1s);
        EXPECT_NO_THROW(group->check("a pause")) << "heartbeats are sent while a thread computes";
        group->finish();
      },
      timeouts);
}

TEST(GroupTest, ARankThatDoesNotJoinIsNamed) {
  Timeouts timeouts;
  timeouts.start = 500ms;
  auto listener = std::make_unique<RendezvousListener>();
  const int port = listener->port();
  const std::string error = peer_error([&] {
    join_process_group(0, 2, {"127.0.0.1", port, ""}, std::move(listener), "here", timeouts);
  });
  EXPECT_TRUE(contains(error, "rank 1 did not join")) << error;
}

TEST(GroupTest, ARankThatIsNotAdmittedGetsTheReason) {
  Timeouts timeouts;
  timeouts.start = 20s;
  auto listener = std::make_unique<RendezvousListener>();
  const int port = listener->port();
  auto rank0 = std::async(std::launch::async, [&] {
    const auto group = join_process_group(0, 2, {"127.0.0.1", port, ""}, std::move(listener), "here", timeouts);
    group->finish();
  });
  const auto expect_refused = [&](int size) {
    const std::string error = peer_error([&] {
      join_process_group(1, size, {"127.0.0.1", port, ""}, nullptr, "there", timeouts);
    });
    EXPECT_TRUE(contains(error, "does not admit rank 1") && contains(error, "it expects 2 ranks")) << error;
  };
  expect_refused(3);
  const auto group = join_process_group(1, 2, {"127.0.0.1", port, ""}, nullptr, "there", timeouts);
  expect_refused(2);  // a rank with this number has joined
  group->finish();
  rank0.get();
}

TEST(GroupTest, ANameThatDoesNotResolveIsReported) {
  Timeouts timeouts;
  timeouts.start = 200ms;
  const std::string error = peer_error([&] {
    join_process_group(1, 2, {"nowhere.invalid", 29500, ""}, nullptr, "there", timeouts);
  });
  EXPECT_TRUE(contains(error, "cannot reach rank 0 at nowhere.invalid") && contains(error, "cannot be resolved"))
      << error;
}

/// The time until rank 1 gives up on a rank 0 that does not exist.
std::chrono::steady_clock::duration wait_at(const Rendezvous& rendezvous, std::string& error, std::string& notice) {
  const auto begin = std::chrono::steady_clock::now();
  error = peer_error([&] {
    join_process_group(1, 2, rendezvous, nullptr, "there", {}, [&](const std::string& text) { notice += text; });
  });
  return std::chrono::steady_clock::now() - begin;
}

TEST(GroupTest, ANameThatDoesNotResolveFailsWithinSeconds) {
  std::string error, notice;
  EXPECT_LT(wait_at({"nowhere.invalid", 29500, ""}, error, notice), 20s);
  EXPECT_TRUE(contains(error, "nowhere.invalid")) << error;
  EXPECT_THROW(RendezvousListener(0, "nowhere.invalid"), InputError);
}

TEST(GroupTest, ARefusedConnectionIsReportedAndRetried) {
  const int port = RendezvousListener().port();  // the listener is closed again
  std::string notice;
  auto rank = std::async(std::launch::async, [&] {
    const auto group = join_process_group(1, 2, {"127.0.0.1", port, ""}, nullptr, "there", {},
                                          [&](const std::string& text) { notice += text; });
    group->finish();
  });
  std::this_thread::sleep_for(5s);
  EXPECT_TRUE(contains(notice, "retrying") && contains(notice, "refused")) << notice;
  auto listener = std::make_unique<RendezvousListener>(port);
  join_process_group(0, 2, {"127.0.0.1", port, ""}, std::move(listener), "here", {})->finish();
  rank.get();
}

/// Two ranks that join at `address`.
void expect_joined_at(const std::string& address) {
  auto listener = std::make_unique<RendezvousListener>(0, address);
  const Rendezvous rendezvous{address, listener->port(), "secret"};
  auto other =
      std::async(std::launch::async, [&] { join_process_group(1, 2, rendezvous, nullptr, "there", {})->finish(); });
  join_process_group(0, 2, rendezvous, std::move(listener), "here", {})->finish();
  other.get();
}

bool has_ipv6() {
  try {
    return RendezvousListener(0, "::1").own_address() == "::1";
  } catch (const InputError&) {
    return false;
  }
}

TEST(GroupTest, RanksJoinByNamesAndNumbersOfBothKinds) {
  for (const char* address : {"127.0.0.1", "localhost", kLoopback}) expect_joined_at(address);
  if (!has_ipv6()) GTEST_SKIP() << "this machine has no IPv6";
  for (const char* address : {"::1", "[::1]", "0:0:0:0:0:0:0:1"}) expect_joined_at(address);
}

TEST(GroupTest, RankZeroListensWhereTheLauncherSays) {
  EXPECT_EQ(RendezvousListener(0, "127.0.0.1").addresses(), "127.0.0.1");
  EXPECT_EQ(RendezvousListener(0, kLoopback).addresses(), "127.0.0.1");
  EXPECT_EQ(RendezvousListener(0, "192.0.2.1").own_address(), kLoopback)
      << "the address of another host: listen on all interfaces";
  const RendezvousListener everywhere;
  EXPECT_TRUE(contains(everywhere.addresses(), "127.0.0.1"));
}

TEST(GroupTest, ARankWithAnotherTokenIsNotAdmitted) {
  auto listener = std::make_unique<RendezvousListener>(0, "127.0.0.1");
  const int port = listener->port();
  auto rank0 = std::async(std::launch::async, [&] {
    join_process_group(0, 2, {"127.0.0.1", port, "secret"}, std::move(listener), "here", {})->finish();
  });
  for (const char* token : {"", "secre", "secret ", "another"}) {
    const std::string error = peer_error([&] {
      join_process_group(1, 2, {"127.0.0.1", port, token}, nullptr, "there", {});
    });
    EXPECT_TRUE(contains(error, "does not admit rank 1") && contains(error, "LIGHTHOUSE_TOKEN")) << error;
    EXPECT_FALSE(contains(error, "secret")) << error;
  }
  join_process_group(1, 2, {"127.0.0.1", port, "secret"}, nullptr, "there", {})->finish();
  rank0.get();
}

TEST(GroupTest, AFailedAcceptIsFollowedByOthers) {
  auto listener = std::make_unique<RendezvousListener>(0, "127.0.0.1");
  const Rendezvous rendezvous{"127.0.0.1", listener->port(), ""};
  auto rank0 = std::async(std::launch::async,
                          [&] { join_process_group(0, 2, rendezvous, std::move(listener), "here", {})->finish(); });
  std::this_thread::sleep_for(500ms);  // rank 0 has raised the limit of open files by now
  const int stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit none{static_cast<rlim_t>(stranger), limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<uint16_t>(rendezvous.port));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(stranger, reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
  std::this_thread::sleep_for(300ms);  // rank 0 could not accept it
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  join_process_group(1, 2, rendezvous, nullptr, "there", {})->finish();
  rank0.get();
  close(stranger);
}

TEST(GroupTest, ACollectiveTimesOut) {
  Timeouts timeouts;
  timeouts.stall = 5s;
  as_ranks(
      2,
      [](auto& group) {
        EXPECT_NO_THROW(group->check("an all-reduce", 4s));
        const std::string error = peer_error([&] { group->check("an all-reduce", 6s); });
        EXPECT_TRUE(contains(error, "waited 5 s in an all-reduce; the other ranks are alive")) << error;
        group->finish();
      },
      timeouts);
}

TEST(GroupTest, AGatherTimesOutIfALivingRankDoesNotReachIt) {
  Timeouts timeouts;
  timeouts.stall = 100ms;
  auto listener = std::make_unique<RendezvousListener>();
  const int port = listener->port();
  timeouts.start = 2s;
  std::promise<void> done;
  auto other = std::async(std::launch::async, [&] {
    const auto group = join_process_group(1, 2, {"127.0.0.1", port, ""}, nullptr, "there", timeouts);
    done.get_future().wait();
  });
  const auto group = join_process_group(0, 2, {"127.0.0.1", port, ""}, std::move(listener), "here", timeouts);
  const auto begin = std::chrono::steady_clock::now();
  const std::string error = peer_error([&] { group->barrier("nothing"); });
  EXPECT_TRUE(contains(error, "the other ranks are alive")) << error;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1500ms) << "the timeout for joining was used";
  done.set_value();
  other.get();
}

TEST(GroupTest, AnInputErrorOfOneRankIsThrownByAll) {
  as_ranks(3, [](auto& group) {
    std::string message;
    try {
      on_all_ranks(*group, "a test", [&]() -> std::string {
        if (group->rank() > 0) throw InputError("no such file");
        return "fine";
      });
    } catch (const AllRanksInputError& error) {
      message = error.what();
    }
    EXPECT_EQ(message, "ranks 1 and 2: no such file");
    EXPECT_EQ(on_all_ranks(*group, "a test", [&] { return std::to_string(group->rank()); }).at(2), "2");
    group->finish();
  });
}

TEST(GroupTest, DifferencesAreDescribed) {
  as_ranks(3, [](auto& group) {
    const auto differ = [](const std::string& a, const std::string& b) { return b + " instead of " + a; };
    EXPECT_NO_THROW(check_ranks_agree(*group, "same", "thing", differ));
    std::string message;
    try {
      check_ranks_agree(*group, group->rank() == 1 ? "odd" : "even", "thing", differ);
    } catch (const AllRanksInputError& error) {
      message = error.what();
    }
    EXPECT_TRUE(contains(message, "rank 1: odd instead of even")) << message;
    group->finish();
  });
}

TEST(GroupTest, AbortSendsTheReasonToAllRanks) {
  as_ranks(3, [](auto& group) {
    group->barrier("the start");
    if (group->rank() == 1) return group->abort("a bad token", true);
    try {
      group->barrier("the end");
      ADD_FAILURE() << "no PeerError, although rank 1 aborted";
    } catch (const PeerError& error) {
      EXPECT_TRUE(contains(error.what(), "rank 1 (a thread) stopped: a bad token")) << error.what();
      EXPECT_TRUE(error.refused());
      EXPECT_EQ(error.rank(), 1);
    }
  });
}

TEST(MeshTest, ContextIsTheInnerDimension) {
  const Mesh mesh(5, 8, 2);
  EXPECT_EQ(mesh.data_rank(), 2);
  EXPECT_EQ(mesh.data_size(), 4);
  EXPECT_EQ(mesh.context_rank(), 1);
  EXPECT_THROW(Mesh(0, 3, 2), std::logic_error);
}

}  // namespace
}  // namespace lighthouse
