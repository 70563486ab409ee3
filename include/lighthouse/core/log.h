// Setup of spdlog: log lines go to standard error and, in a run, also to its log.txt.
#pragma once

#include <filesystem>

namespace lighthouse {

/// Logs lines such as "12:34:56 info message" to standard error. Call it once, before anything logs.
void start_logging();

/// Also appends log lines to `file`. Lines of ranks other than 0 carry their rank. Throws InputError if the file cannot
/// be written.
void log_to_file(const std::filesystem::path& file, int rank = 0);

/// Limits standard error to warnings and errors, each prefixed with the rank.
void log_as_rank(int rank);

}  // namespace lighthouse
