// Two runs in one folder, and file systems without locks.
#include <cerrno>

#include "workspace.h"

namespace lighthouse::test {
namespace {

class Lock : public Workspace, public ::testing::WithParamInterface<int> {
 protected:
  Lock() { write_data(); }

  /// The program where flock() fails with `error`.
  Outcome without_locks(int error, const std::string& arguments) const {
    return shell("FLOCK_ERROR=" + std::to_string(error) +
                 " LD_PRELOAD='" LIGHTHOUSE_NO_LOCKS "' ASAN_OPTIONS=verify_asan_link_order=0 " +
                 command_of(arguments));
  }
};

TEST_P(Lock, WorksOnAFileSystemWithoutLocks) {
  write_config();
  const Outcome outcome = without_locks(GetParam(), "train run.yaml");
  expect_done(outcome);
  const size_t said = outcome.err.find("cannot be locked");
  ASSERT_NE(said, std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find("cannot be locked", said + 1), std::string::npos) << outcome.err;
  EXPECT_TRUE(std::filesystem::exists(checkpoint("tiny", 10)));
  expect_done(without_locks(GetParam(), "export runs/tiny hf"));
}

INSTANTIATE_TEST_SUITE_P(Errors, Lock, ::testing::Values(ENOSYS, ENOLCK, EOPNOTSUPP, EINVAL, EIO));

using OneLock = Lock;

TEST_F(OneLock, ASecondRunIsRefused) {
  write_config();
  expect_refusal(without_locks(EWOULDBLOCK, "train run.yaml"), {"another process is training in", "runs/tiny"});
}

}  // namespace
}  // namespace lighthouse::test
