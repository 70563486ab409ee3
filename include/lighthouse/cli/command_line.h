// The program's command line.
#pragma once

namespace lighthouse {

/// Parses the command line, runs the subcommand and reports errors on standard error. Returns the exit code: 0 success,
/// 1 the run failed, 2 the user's input was refused, 128 + signal if a signal stopped the program.
int run_command_line(int argc, char** argv);

}  // namespace lighthouse
