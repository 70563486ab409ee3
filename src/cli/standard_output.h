// Output of a command's result: a failed write fails the command.
#pragma once

namespace lighthouse {

/// Flushes standard output. Throws Interrupted(SIGPIPE) if the reader of standard output has exited (`| head`),
/// RunError if writing failed for another reason.
void flush_standard_output();

}  // namespace lighthouse
