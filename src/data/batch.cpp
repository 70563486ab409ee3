#include "lighthouse/data/batch.h"

#include <algorithm>

namespace lighthouse {

void split_windows(std::span<const int32_t> windows, const Tensor& inputs, const Tensor& targets) {
  const int64_t n = inputs.size(1);
  const int64_t given = static_cast<int64_t>(windows.size()) / (n + 1);
  for (int64_t b = 0; b < inputs.size(0); ++b) {
    int32_t* input = inputs.data<int32_t>() + b * n;
    int32_t* target = targets.data<int32_t>() + b * n;
    if (b >= given) {
      std::fill_n(input, n, 0);
      std::fill_n(target, n, -1);
      continue;
    }
    const int32_t* window = windows.data() + b * (n + 1);
    std::copy_n(window, n, input);
    std::copy_n(window + 1, n, target);
  }
}

}  // namespace lighthouse
