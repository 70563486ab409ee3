// Which activations a training pass recomputes in backward.
#pragma once

#include <cstdint>
#include <string_view>

namespace lighthouse {

/// Each value recomputes more than the one before: less memory, more work.
enum class Recompute : uint8_t {
  kNone,   // nothing
  kNorms,  // the outputs of RMSNorm: two passes over memory for each layer
  kMlp,    // also gate and up of the feed-forward network: one more product
  kBlock,  // everything but the input of a layer: its whole forward once more
};

/// The name in a config: "none", "norms", "mlp", "block".
std::string_view name_of(Recompute recompute);

}  // namespace lighthouse
