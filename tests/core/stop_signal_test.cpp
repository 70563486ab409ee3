#include "lighthouse/core/stop_signal.h"

#include <gtest/gtest.h>

#include <csignal>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

TEST(StopSignalTest, NotesTheSignal) {
  std::signal(SIGHUP, SIG_DFL);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) {
    const StopSignal stop;
    EXPECT_EQ(stop.pending(), 0);
    EXPECT_NO_THROW(stop.check());
    raise(signal);
    EXPECT_EQ(stop.pending(), signal);
    try {
      stop.check();
      FAIL() << "not interrupted";
    } catch (const Interrupted& interrupted) {
      EXPECT_EQ(interrupted.signal(), signal);
    }
  }
}

TEST(StopSignalTest, ForgetsEarlierSignals) {
  {
    const StopSignal first;
    raise(SIGINT);
  }
  EXPECT_EQ(StopSignal().pending(), 0);
}

TEST(StopSignalTest, KeepsAnIgnoredHangUpIgnored) {
  std::signal(SIGHUP, SIG_IGN);
  {
    const StopSignal stop;
    raise(SIGHUP);
    EXPECT_EQ(stop.pending(), 0);
  }
  EXPECT_EQ(std::signal(SIGHUP, SIG_DFL), SIG_IGN);
}

TEST(StopSignalTest, ASignalAfterTheWorkDoesNotEndTheProcess) {
  const DeferredSignals deferred;
  {
    const StopSignal stop;
    raise(SIGUSR1);
    EXPECT_EQ(stop.pending(), SIGTERM);
  }
  raise(SIGUSR1);
  raise(SIGTERM);
  raise(SIGHUP);
}

TEST(StopSignalDeathTest, SignalsEndTheProcessAgainAfterwards) {
  const auto outlive = [] {
    { const StopSignal stop; }
    raise(SIGTERM);
  };
  EXPECT_EXIT(outlive(), testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace lighthouse
