// From gnuplot's SVG to one that belongs to a page.
#pragma once

#include <string>

namespace lighthouse {

// Colours that the script asks for stand for variables of the page: no plot has others.
inline constexpr const char* kAxisMark = "#010101";
inline constexpr const char* kTextMark = "#020202";
inline constexpr const char* kGridMark = "#030303";
/// Of curve number `colour`, in turn.
std::string curve_mark(int colour);

/// The <svg> element with its colours replaced by variables, its ids made unlike those of other plots, without what
/// draws nothing.
std::string themed(const std::string& svg, const std::string& id);

}  // namespace lighthouse
