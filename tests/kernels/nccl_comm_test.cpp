// Failures of NCCL or of a rank. NCCL is replaced, so that no GPU is needed.
#ifdef LIGHTHOUSE_HAS_NCCL
#include "nccl_comm.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace lighthouse::cuda {
namespace {

/// Two ranks; the other one exits when a test says so.
class StubGroup final : public ProcessGroup {
 public:
  bool other_is_gone = false;

  int rank() const override { return 0; }
  int size() const override { return 2; }
  std::vector<std::string> gather(const std::string& mine, const std::string&, Channel) override {
    return {mine, mine};
  }
  void check(const std::string& what, std::chrono::steady_clock::duration) override {
    if (other_is_gone) throw PeerError("rank 1 is gone, during " + what, 1, false);
  }
  void abort(const std::string&, bool) override {}
  void finish() override {}
};

class NcclCommTest : public testing::Test {
 protected:
  NcclCommTest() { *comm_.address() = reinterpret_cast<ncclComm_t>(&handle_); }

  NcclFunctions stub() {
    NcclFunctions f;
    f.get_async_error = [this](ncclComm_t, ncclResult_t* state) {
      const Answer answer = answers_.size() > 1 ? answers_.front() : answers_.back();
      if (answers_.size() > 1) answers_.erase(answers_.begin());
      if (answer.asked == ncclSuccess) *state = answer.state;
      return answer.asked;
    };
    f.abort = [this](ncclComm_t) {
      text_ = "";
      ++aborts_;
      return ncclSuccess;
    };
    f.error_string = [](ncclResult_t result) { return result == ncclRemoteError ? "remote" : "another"; };
    f.last_error = [this](ncclComm_t) { return text_; };
    f.group_start = [this] {
      ++open_groups_;
      return ncclSuccess;
    };
    f.group_end = [this] {
      --open_groups_;
      return ncclSuccess;
    };
    return f;
  }

  /// The message of the RunError that `call` throws.
  template <typename Call>
  std::string failure_of(const Call& call) {
    try {
      call();
    } catch (const RunError& error) {
      return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }

  struct Answer {
    ncclResult_t asked, state;
  };
  std::vector<Answer> answers_{{ncclSuccess, ncclSuccess}};  // the last one again and again
  const char* text_ = "socket closed";
  int aborts_ = 0, open_groups_ = 0;
  int handle_ = 0;
  StubGroup group_;
  NcclComm comm_{group_, stub()};
};

TEST_F(NcclCommTest, SettlesWhenNcclHasAcceptedTheCall) {
  comm_.settle(ncclSuccess, "an all-reduce");
  answers_ = {{ncclSuccess, ncclInProgress}, {ncclSuccess, ncclInProgress}, {ncclSuccess, ncclSuccess}};
  comm_.settle(ncclInProgress, "an all-reduce");
  EXPECT_EQ(answers_.size(), 1U) << "it did not wait";
  comm_.watch("an all-reduce");
  EXPECT_EQ(aborts_, 0);
}

TEST_F(NcclCommTest, AStateThatCannotBeAskedForIsAFailure) {
  answers_ = {{ncclSuccess, ncclInProgress}, {ncclInternalError, ncclInProgress}};
  const std::string text = failure_of([&] { comm_.settle(ncclInProgress, "an all-reduce"); });
  EXPECT_NE(text.find("ncclCommGetAsyncError, during an all-reduce"), std::string::npos) << text;
  EXPECT_EQ(aborts_, 1);
}

TEST_F(NcclCommTest, TheSameWhileWatching) {
  answers_ = {{ncclInvalidArgument, ncclSuccess}};
  failure_of([&] { comm_.watch("a step's result"); });
  EXPECT_EQ(aborts_, 1);
}

TEST_F(NcclCommTest, FailuresCarryNcclsText) {
  const auto expect_text = [&](const std::string& text) {
    for (const char* word : {"an all-gather", "remote", "socket closed"}) {
      EXPECT_NE(text.find(word), std::string::npos) << word << " in " << text;
    }
  };
  // In the call itself, while NCCL accepts it, and afterwards.
  expect_text(failure_of([&] { comm_.settle(ncclRemoteError, "an all-gather"); }));
  NcclComm accepting(group_, stub()), later(group_, stub());
  text_ = "socket closed";
  *accepting.address() = *later.address() = reinterpret_cast<ncclComm_t>(&handle_);
  answers_ = {{ncclSuccess, ncclInProgress}, {ncclSuccess, ncclRemoteError}};
  expect_text(failure_of([&] { accepting.settle(ncclInProgress, "an all-gather"); }));
  text_ = "socket closed";
  expect_text(failure_of([&] { later.watch("an all-gather"); }));
  EXPECT_EQ(aborts_, 3);
}

TEST_F(NcclCommTest, NothingWorksAfterAFailure) {
  const std::string first = failure_of([&] { comm_.settle(ncclRemoteError, "an all-reduce"); });
  answers_ = {{ncclSuccess, ncclSuccess}};
  EXPECT_EQ(failure_of([&] { comm_.watch("a step's result"); }), first);
  EXPECT_EQ(failure_of([&] { comm_.settle(ncclInProgress, "an all-reduce"); }), first);
  EXPECT_EQ(comm_.get(), nullptr);
  EXPECT_EQ(aborts_, 1);
}

TEST_F(NcclCommTest, ARankThatIsGoneAbortsToo) {
  answers_ = {{ncclSuccess, ncclInProgress}};
  group_.other_is_gone = true;
  EXPECT_THROW(comm_.settle(ncclInProgress, "an all-reduce"), PeerError);
  EXPECT_EQ(aborts_, 1);
  group_.other_is_gone = false;
  EXPECT_THROW(comm_.watch("a step's result"), RunError);
}

TEST_F(NcclCommTest, AGroupIsEndedThoughACallFails) {
  EXPECT_EQ(comm_.grouped([] { return ncclInvalidUsage; }), ncclInvalidUsage);
  EXPECT_EQ(open_groups_, 0);
  EXPECT_EQ(comm_.grouped([] { return ncclInProgress; }), ncclSuccess);
  EXPECT_EQ(open_groups_, 0);
}

}  // namespace
}  // namespace lighthouse::cuda
#endif
