// Post-processing of gnuplot's SVG for HTML pages.
#pragma once

#include <string>

namespace lighthouse {

// Placeholder colours for gnuplot scripts, which themed() replaces by CSS variables. Plots use no other colours.
inline constexpr const char* kAxisMark = "#010101";
inline constexpr const char* kTextMark = "#020202";
inline constexpr const char* kGridMark = "#030303";
/// The placeholder of curve colour `colour`, modulo kColours.
std::string curve_mark(int colour);

/// The <svg> element with CSS variables as colours, ids prefixed with `id`, and empty groups removed.
std::string themed(const std::string& svg, const std::string& id);

}  // namespace lighthouse
