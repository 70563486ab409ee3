// Floating-point operations of a model, for its utilisation (MFU).
#pragma once

#include <cstdint>
#include <vector>

#include "lighthouse/model/attention/settings.h"
#include "lighthouse/model/config.h"

namespace lighthouse {

/// Elements of the weights that take part in matrix products: all but norms and the embedding; a tied embedding counts
/// as the output layer.
int64_t matrix_parameter_count(const ModelConfig& config);

/// Operations of forward and backward for one token: 6 for each element of matrix_parameter_count(), and 12 H D for
/// each key that a query sees on average in a layer: N / 2 keys in dense attention, S^2 / (2 N) in Lighthouse
/// Attention, about w in a window of w. Recomputation is not counted.
double training_flops_per_token(const ModelConfig& config, const AttentionSettings& attention, AttentionKind step,
                                int64_t sequence_length);

}  // namespace lighthouse
