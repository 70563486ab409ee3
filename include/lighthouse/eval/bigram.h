// The simplest language model there is, to hold losses against.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lighthouse {

/// Mean loss in nats per token, on the shards that match `validation`, of a bigram model with add-one smoothing counted
/// on those that match a pattern of `train`. Takes memory for the pairs that differ in `validation` (some 50 bytes
/// each), whatever the vocabulary. Throws InputError if a file is missing, a token is outside the vocabulary or there
/// is no pair.
double bigram_loss(const std::vector<std::string>& train, const std::string& validation, int64_t vocab_size);

}  // namespace lighthouse
