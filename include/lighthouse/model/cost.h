// Floating-point operations of a model: what utilisation is measured by.
#pragma once

#include <cstdint>
#include <vector>

#include "lighthouse/model/attention/settings.h"
#include "lighthouse/model/config.h"

namespace lighthouse {

/// Weights that take part in a matrix product: all of them but the norms and the embedding's rows (a tied output layer
/// counts).
int64_t matrix_parameter_count(const ModelConfig& config);

/// Operations of forward and backward for one token: 6 x matrix parameters, and for attention 12 C a key that it sees
/// on average: N / 2 keys in a dense layer, S^2 / (2 N) in a Lighthouse layer, about w in a window of w. Recomputation
/// is not counted.
double training_flops_per_token(const ModelConfig& config, const AttentionSettings& attention, AttentionKind step,
                                int64_t sequence_length);

}  // namespace lighthouse
