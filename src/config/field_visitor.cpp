#include "field_visitor.h"

#include <fmt/format.h>

namespace lighthouse {

std::string IntRange::str() const {
  if (most == std::numeric_limits<int64_t>::max()) return fmt::format("a whole number, at least {}", least);
  return fmt::format("a whole number from {} to {}", least, most);
}

std::string RealRange::str() const {
  if (least_open) return fmt::format("a number above {} and {} {}", least, most_open ? "below" : "at most", most);
  return fmt::format("a number from {} to {}{}", least, most_open ? "below " : "", most);
}

std::string format_real(double value) {
  std::string text = fmt::format("{}", value);
  const size_t exponent = text.find('e');
  if (exponent != std::string::npos && text.find('.') == std::string::npos) text.insert(exponent, ".0");
  return text;
}

}  // namespace lighthouse
