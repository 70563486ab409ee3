#include "lighthouse/eval/decoding.h"

#include <algorithm>
#include <stdexcept>

namespace lighthouse {

Decoding::Decoding(const ModelConfig& config, const Parameters& weights, int64_t context, Backend& backend)
    : config_(config),
      weights_(weights),
      context_(context),
      backend_(backend),
      decoder_(config, context, config.rope_theta, backend) {
  Arena measuring, measuring_host;
  lay_out(measuring);
  lay_out_host(measuring_host);
  arena_ = Arena(backend.allocate(measuring.used()));
  host_arena_ = Arena(backend.allocate_host(measuring_host.used()));
  lay_out(arena_);
  lay_out_host(host_arena_);
  decoder_.prepare(backend.compute_stream());
}

void Decoding::lay_out(Arena& arena) {
  device_token_ = arena.allocate(MemoryUse::kBatch, {2}, DType::kInt32);
  logits_ = arena.allocate(MemoryUse::kScratch, {config_.padded_vocab_size()});
  decoder_.lay_out(arena);
}

void Decoding::lay_out_host(Arena& arena) {
  host_token_ = arena.allocate(MemoryUse::kBatch, {2}, DType::kInt32);
  host_logits_ = arena.allocate(MemoryUse::kScratch, {config_.padded_vocab_size()});
}

ForwardPass& Decoding::prompt_pass(int64_t length) {
  constexpr int64_t kStep = 64;  // rounding lengths up lets similar prompts share a pass
  const int64_t rounded = (length + kStep - 1) / kStep * kStep;
  if (prompt_ && prompt_->inputs().size(1) == rounded) return *prompt_;
  prompt_.reset();  // free its memory before allocating the next
  PassSettings settings;
  settings.sequence_length = rounded;
  settings.rope_theta = config_.rope_theta;
  prompt_ = std::make_unique<ForwardPass>(config_, settings, backend_);
  prompt_->model().add_hooks({.qkv_ready = [this](int64_t layer, const Tensor& qkv) {
    decoder_.fill_cache(backend_.compute_stream(), layer, qkv, length_);
  }});
  return *prompt_;
}

std::vector<float> Decoding::start(const std::vector<int32_t>& tokens) {
  const auto length = static_cast<int64_t>(tokens.size());
  if (length < 1 || length > context_) throw std::logic_error("Decoding::start: the prompt does not fit the context");
  ForwardPass& pass = prompt_pass(length);
  length_ = length;
  return pass.next_logits(weights_, tokens);
}

void Decoding::enqueue_step(const Stream& stream) {
  backend_.copy(stream, device_token_, host_token_);
  decoder_.forward(stream, weights_, device_token_.slice(0, 0, 1), device_token_.slice(0, 1, 2));
  backend_.copy(stream, logits_, decoder_.logits().view(logits_.shape()));
  backend_.copy(stream, host_logits_, logits_);
}

std::span<const float> Decoding::append(int32_t token) {
  if (length_ < 1 || length_ >= context_)
    throw std::logic_error("Decoding::append: the context is full or there is no prompt");
  host_token_.data<int32_t>()[0] = token;
  host_token_.data<int32_t>()[1] = static_cast<int32_t>(length_);
  const Stream stream = backend_.compute_stream();
  // Libraries initialise in the first run, so it is not recorded.
  if (steps_ == 1) graph_ = backend_.capture(stream, [&] { enqueue_step(stream); });
  graph_ ? graph_->launch(stream) : enqueue_step(stream);
  backend_.wait(stream);
  ++steps_;
  ++length_;
  return {host_logits_.data<float>(), static_cast<size_t>(config_.token_count())};
}

}  // namespace lighthouse
