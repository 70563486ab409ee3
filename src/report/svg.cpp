#include "svg.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>

#include "lighthouse/report/plot.h"

namespace lighthouse {
namespace {

constexpr int kFirstCurve = 16;  // blue component of the first curve's placeholder; red and green are 0

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

/// "rgb(  0,   0,  17)" -> "var(--curve-1)"
std::string variable_of(const std::string& rgb) {
  std::array<long, 3> parts{};
  const char* at = rgb.c_str() + 4;
  for (long& part : parts) {
    char* end = nullptr;
    part = std::strtol(at, &end, 10);
    at = *end == '\0' ? end : end + 1;
  }
  const auto [red, green, blue] = parts;
  if (red == 0 && green == 0 && blue >= kFirstCurve) return fmt::format("var(--curve-{})", blue - kFirstCurve);
  if (red == 1) return "var(--axis)";
  if (red == 3) return "var(--grid)";
  return "var(--text)";
}

std::string with_variables(const std::string& svg) {
  std::string result;
  size_t done = 0;
  for (size_t at = svg.find("rgb("); at != std::string::npos; at = svg.find("rgb(", done)) {
    const size_t end = svg.find(')', at) + 1;
    result += svg.substr(done, at - done) + variable_of(svg.substr(at, end - at));
    done = end;
  }
  return result + svg.substr(done);
}

/// Removes empty groups, of which gnuplot writes hundreds.
std::string without_empty_groups(const std::string& svg) {
  std::string result;
  size_t done = 0;
  for (size_t at = svg.find("<g "); at != std::string::npos; at = svg.find("<g ", at + 1)) {
    const size_t open_end = svg.find('>', at);
    const size_t next = svg.find_first_not_of(" \t\n", open_end + 1);
    if (next == std::string::npos || svg.compare(next, 4, "</g>") != 0) continue;
    result += svg.substr(done, at - done);
    done = next + 4;
  }
  return result + svg.substr(done);
}

struct Scheme {
  const char *page, *text, *axis, *grid;
  std::array<const char*, kColours> curves;
};

constexpr Scheme kLight{"#ffffff",
                        "#334155",
                        "#94a3b8",
                        "#e2e8f0",
                        {"#2563eb", "#ea580c", "#059669", "#9333ea", "#db2777", "#0891b2", "#a16207", "#475569"}};
constexpr Scheme kDark{"#10151f",
                       "#cbd5e1",
                       "#64748b",
                       "#263043",
                       {"#60a5fa", "#fb923c", "#34d399", "#c084fc", "#f472b6", "#22d3ee", "#facc15", "#94a3b8"}};

std::string variables(const Scheme& scheme) {
  std::string css = fmt::format("--page: {}; --text: {}; --axis: {}; --grid: {};", scheme.page, scheme.text,
                                scheme.axis, scheme.grid);
  for (size_t i = 0; i < scheme.curves.size(); ++i) css += fmt::format(" --curve-{}: {};", i, scheme.curves[i]);
  return css;
}

}  // namespace

std::string curve_mark(int colour) {
  return fmt::format("#0000{:02x}", kFirstCurve + colour % kColours);
}

std::string themed(const std::string& svg, const std::string& id) {
  std::string result = without_empty_groups(with_variables(svg.substr(svg.find("<svg"))));
  for (const char* name : {"gpPt", "gpDot", "gnuplot_canvas", "textbox", "greybox"}) {
    replace_all(result, std::string("id='") + name, fmt::format("id='{}-{}", id, name));
    replace_all(result, std::string("id=\"") + name, fmt::format("id=\"{}-{}", id, name));
    replace_all(result, std::string("#") + name, fmt::format("#{}-{}", id, name));
  }
  replace_all(result, "color=\"black\"", "color=\"var(--text)\"");
  replace_all(result, "fill=\"black\"", "fill=\"var(--text)\"");
  return result;
}

std::string plot_colours() {
  return fmt::format(
      ":root {{ color-scheme: light dark; {} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {} }} }}\n",
      variables(kLight), variables(kDark));
}

std::string standalone(const std::string& svg) {
  const size_t end_of_tag = svg.find('>') + 1;
  return fmt::format("{}\n<style>\n{}svg {{ background: var(--page); }}\n</style>{}", svg.substr(0, end_of_tag),
                     plot_colours(), svg.substr(end_of_tag));
}

}  // namespace lighthouse
