// Setting up spdlog: what the program says goes to standard error and, in a run, to its log.txt.
#pragma once

#include <filesystem>

namespace lighthouse {

/// Lines "12:34:56 info  message" on standard error. Call once, first thing.
void start_logging();

/// From now on also to `file`, appended. Throws InputError if it cannot be written.
void log_to_file(const std::filesystem::path& file);

}  // namespace lighthouse
