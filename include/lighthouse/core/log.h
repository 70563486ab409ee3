// Setting up spdlog: what the program says goes to standard error and, in a run, to its log.txt.
#pragma once

#include <filesystem>

namespace lighthouse {

/// Lines "12:34:56 info  message" on standard error. Call once, first thing.
void start_logging();

/// From now on also to `file`, appended; of other ranks than the first with their number. Throws InputError if it
/// cannot be written.
void log_to_file(const std::filesystem::path& file, int rank = 0);

/// From now on every line on standard error says that it is of this rank; and only warnings and errors are said.
void log_as_rank(int rank);

}  // namespace lighthouse
