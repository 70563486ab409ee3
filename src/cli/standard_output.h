// What a command prints as its result: a failure to write it is a failure of the command.
#pragma once

namespace lighthouse {

/// Writes out what was printed so far. Throws Interrupted(SIGPIPE) if the reader of standard output has exited
/// (`| head`), RunError if the output could not be written for another reason.
void flush_standard_output();

}  // namespace lighthouse
