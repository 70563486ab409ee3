// A bigram model as a baseline for losses.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lighthouse {

/// The mean loss in nats per token, on the shards that match `validation`, of a bigram model with add-one smoothing
/// whose counts come from the shards that match the patterns in `train`. Needs some 50 bytes of memory for each
/// distinct pair in `validation`, whatever the vocabulary. Throws InputError if a file is missing, a token is outside
/// the vocabulary or the validation shards have no pair.
double bigram_loss(const std::vector<std::string>& train, const std::string& validation, int64_t vocab_size);

}  // namespace lighthouse
