// The program's command line.
#pragma once

namespace lighthouse {

/// Parses, runs the subcommand, reports errors on standard error. Returns the exit code: 0 done, 1 the run failed, 2
/// the user's input was refused, 128 + signal stopped by a signal.
int run_command_line(int argc, char** argv);

}  // namespace lighthouse
