// What a training pass keeps between forward and backward, and what it computes again.
#pragma once

#include <cstdint>
#include <string_view>

namespace lighthouse {

/// Each computes again what those before it do, and more: less memory, more work.
enum class Recompute : uint8_t {
  kNone,   // everything is kept
  kNorms,  // the outputs of RMSNorm: two passes over memory a layer
  kMlp,    // and gate and up: one more product
  kBlock,  // all of a layer but its input: its whole forward once more
};

/// As in a config: "none", "norms", "mlp", "block".
std::string_view name_of(Recompute recompute);

}  // namespace lighthouse
