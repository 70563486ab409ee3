#include "lighthouse/ops/check.h"

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace lighthouse {

void require(bool ok, std::string_view operation, std::initializer_list<const Tensor*> arguments) {
  if (ok) return;
  std::string text;
  for (const Tensor* argument : arguments) {
    text += fmt::format(" {} {}{}", name_of(argument->dtype()), to_string(argument->shape()),
                        argument->is_contiguous() ? "" : " (strided)");
  }
  throw std::logic_error(fmt::format("{} cannot take these arguments:{}", operation, text));
}

}  // namespace lighthouse
