#include "standard_output.h"

#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

bool reader_has_exited() {
  pollfd output{STDOUT_FILENO, POLLOUT, 0};
  return poll(&output, 1, 0) > 0 && (output.revents & (POLLERR | POLLHUP)) != 0;
}

}  // namespace

void flush_standard_output() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return;
  if (reader_has_exited()) throw Interrupted(SIGPIPE);
  throw RunError("writing to standard output failed; the output is incomplete");
}

}  // namespace lighthouse
