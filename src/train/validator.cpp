#include "lighthouse/train/validator.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "lighthouse/dist/partition.h"
#include "lighthouse/eval/validation.h"
#include "stage_data.h"

namespace lighthouse {
namespace {

std::string bytes_of(const std::vector<double>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(double)};
}

std::vector<double> doubles_of(const std::string& bytes) {
  std::vector<double> numbers(bytes.size() / sizeof(double));
  std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(double));
  return numbers;
}

}  // namespace

Validator::Validator(const RunConfig& config, RunMemory& memory, BatchFeed& feed, Backend& backend, const Ranks& ranks)
    : config_(config), memory_(memory), feed_(feed), backend_(backend), ranks_(ranks) {}

void Validator::open(int64_t stage) {
  stage_ = stage;
  data_ = open_validation(config_, config_.stages[static_cast<size_t>(stage)]);
}

Validator::Losses Validator::losses() {
  const AttentionKind kind = config_.stages[static_cast<size_t>(stage_)].attention;
  const double dense = loss_in(AttentionKind::kDense);
  return {kind == AttentionKind::kDense ? dense : loss_in(kind), dense};
}

double Validator::loss_in(AttentionKind kind) {
  Pass& pass = memory_.evaluation_pass(stage_, kind);
  const int64_t batch = pass.settings.batch;
  const int64_t windows = std::min(config_.evaluation.batches * batch, data_->windows());
  const IndexRange share =
      split_evenly((windows + batch - 1) / batch, ranks_.mesh.data_size(), ranks_.mesh.data_rank());
  const auto evaluate_share = [&] {
    return bytes_of(window_losses(*pass.model, memory_.weights(), *data_, windows, share.begin * batch,
                                  std::min(share.end * batch, windows), pass.inputs, pass.targets, feed_, backend_));
  };
  double sum = 0;
  for (const std::string& part : on_all_ranks(*ranks_.group, "an evaluation", evaluate_share)) {
    for (const double loss : doubles_of(part)) sum += loss;
  }
  return sum / static_cast<double>(windows * pass.settings.sequence_length);
}

}  // namespace lighthouse
