// For LD_PRELOAD: simulates a file system without locks. flock() fails with the error number in FLOCK_ERROR.
#include <cerrno>
#include <cstdlib>

extern "C" int flock(int /*descriptor*/, int /*operation*/) {
  errno = std::atoi(std::getenv("FLOCK_ERROR"));
  return -1;
}
