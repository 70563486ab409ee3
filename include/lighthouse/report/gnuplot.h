// Running of gnuplot as a child process.
#pragma once

#include <string>

namespace lighthouse {

/// Whether gnuplot is on the PATH.
bool gnuplot_is_installed();

/// How to install gnuplot, for messages.
inline constexpr const char* kInstallGnuplot =
    "gnuplot is not installed; install the package gnuplot-nox of Debian and Ubuntu, or see "
    "www.gnuplot.info";

/// Runs a script and returns gnuplot's standard output. Throws InputError if gnuplot cannot be started, and RunError
/// with its messages if it fails.
std::string run_gnuplot(const std::string& script);

}  // namespace lighthouse
