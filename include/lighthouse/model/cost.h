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

/// Operations of forward and backward for one token: 6 x matrix parameters, and for attention 6 N C for each dense
/// layer (causal: half of the full product) and 6 S^2 / N C for each Lighthouse layer. Recomputation gets no credit.
double training_flops_per_token(const ModelConfig& config, const LighthouseSettings& lighthouse, AttentionKind step,
                                int64_t sequence_length);

}  // namespace lighthouse
