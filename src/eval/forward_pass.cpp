#include "lighthouse/eval/forward_pass.h"

#include <algorithm>
#include <vector>

#include "lighthouse/ops/transfer.h"

namespace lighthouse {
namespace {

PassSettings forward_only(PassSettings settings) {
  settings.backward = false;
  return settings;
}

}  // namespace

ForwardPass::ForwardPass(const ModelConfig& config, const PassSettings& settings, Backend& backend)
    : config_(config), settings_(forward_only(settings)), backend_(backend), model_(config, settings_, backend) {
  Arena measuring;
  lay_out(measuring);
  arena_ = Arena(backend.allocate(measuring.used()));
  lay_out(arena_);
  model_.prepare(backend.compute_stream());
}

void ForwardPass::lay_out(Arena& arena) {
  const Shape batch{settings_.batch, settings_.sequence_length};
  inputs_ = arena.allocate(MemoryUse::kBatch, batch, DType::kInt32);
  targets_ = arena.allocate(MemoryUse::kBatch, batch, DType::kInt32);
  logits_ = arena.allocate(MemoryUse::kScratch, {1, config_.padded_vocab_size()}, backend_.dtype());
  model_.lay_out(arena);
}

std::vector<float> ForwardPass::next_logits(const Parameters& weights, const std::vector<int32_t>& tokens) {
  std::vector<int32_t> padded(static_cast<size_t>(inputs_.numel()), 0);
  std::copy(tokens.begin(), tokens.end(), padded.begin());
  upload(backend_, inputs_, {padded.data(), inputs_.shape(), DType::kInt32});
  const Stream stream = backend_.compute_stream();
  model_.forward(stream, weights, inputs_);
  model_.logits(stream, logits_, weights, static_cast<int64_t>(tokens.size()) - 1);
  return download<float>(backend_, logits_);
}

}  // namespace lighthouse
