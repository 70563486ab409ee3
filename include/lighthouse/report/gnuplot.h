// Drawing by gnuplot, in another process.
#pragma once

#include <string>

namespace lighthouse {

/// Whether there is a gnuplot on the PATH.
bool gnuplot_is_installed();

/// How to get it, for messages.
inline constexpr const char* kInstallGnuplot =
    "there is no gnuplot here to draw with; it is the package gnuplot-nox of Debian and Ubuntu, or see "
    "www.gnuplot.info";

/// What gnuplot writes to its standard output for a script. Throws InputError if it is not there, and RunError with
/// what it said if it fails.
std::string run_gnuplot(const std::string& script);

}  // namespace lighthouse
