#include "lighthouse/train/run_memory.h"

#include <algorithm>
#include <stdexcept>

#include "lighthouse/core/units.h"
#include "lighthouse/ops/transfer.h"

namespace lighthouse {
namespace {

bool same(const PassSettings& a, const PassSettings& b) {
  return a.batch == b.batch && a.sequence_length == b.sequence_length && a.kind == b.kind &&
         a.rope_theta == b.rope_theta && a.document_end == b.document_end && a.backward == b.backward &&
         a.recompute == b.recompute;
}

}  // namespace

Recompute recompute_of(RecomputeChoice choice) {
  switch (choice) {
    case RecomputeChoice::kAuto:
    case RecomputeChoice::kNone:
      return Recompute::kNone;
    case RecomputeChoice::kNorms:
      return Recompute::kNorms;
    case RecomputeChoice::kMlp:
      return Recompute::kMlp;
    case RecomputeChoice::kBlock:
      return Recompute::kBlock;
  }
  return Recompute::kNone;
}

RunMemory::RunMemory(const RunConfig& config, Backend& backend, const Mesh& mesh)
    : config_(config),
      backend_(backend),
      mesh_(mesh),
      buckets_(buckets_of(config, mesh)),
      shard_(unsharded(config.model)),
      optimizer_(make_optimizer(config.optimizer, backend)) {
  if (config.distributed.shard_optimizer && mesh.data_size() > 1) {
    check_shards_by_element(*optimizer_, config.model);
    shard_ = shard_of_buckets(buckets_, mesh.data_size(), mesh.data_rank());
  }
  for (int64_t stage = 0; stage < std::ssize(config.stages); ++stage) add_passes(stage);
}

void RunMemory::add_passes(int64_t stage) {
  const StageSection& section = config_.stages[static_cast<size_t>(stage)];
  if (section.data.document_mask != DocumentMask::kNone && !section.document_end) {
    throw std::logic_error("a config without its document ends");
  }
  add_pass(section.name, stage, section.attention, true);
  if (section.dense_every > 0) add_pass(section.name + ", dense steps", stage, AttentionKind::kDense, true);
  if (section.data.validation.empty()) return;
  add_pass(section.name + ", evaluation", stage, section.attention, false);
  add_pass(section.name + ", dense evaluation", stage, AttentionKind::kDense, false);
}

void RunMemory::add_pass(const std::string& name, int64_t stage, AttentionKind kind, bool backward) {
  Pass pass;
  pass.name = name;
  pass.settings = settings_of(stage, kind, backward);
  for (const Pass& other : passes_) {
    if (same(other.settings, pass.settings)) return;
  }
  pass.model = std::make_unique<Llama>(config_.model, pass.settings, backend_);
  passes_.push_back(std::move(pass));
}

PassSettings RunMemory::settings_of(int64_t stage, AttentionKind kind, bool backward) const {
  const StageSection& section = config_.stages[static_cast<size_t>(stage)];
  return {section.batch.micro_batch_size,
          section.batch.sequence_length,
          kind,
          config_.attention,
          section.rope_theta,
          backward,
          backward ? recompute_of(section.recompute) : Recompute::kNone,
          section.document_end,
          static_cast<int64_t>(config_.memory.logits * static_cast<double>(kGibibyte))};
}

void RunMemory::lay_out(Arena& arena) {
  if (master_is_sharded()) {
    master_ = {};
    master_.flat = arena.allocate(MemoryUse::kWeights, {shard_.numel});
  } else {
    master_ = lay_out_parameters(arena, MemoryUse::kWeights, config_.model);
  }
  weights_ = backend_.dtype() == DType::kFloat32
                 ? master_
                 : lay_out_parameters(arena, MemoryUse::kWeights, config_.model, backend_.dtype());
  gradients_ = lay_out_parameters(arena, MemoryUse::kGradients, config_.model);
  optimizer_->lay_out(arena, config_.model, shard_);
  lay_out_step(arena);
  persistent_bytes_ = arena.used();
  std::vector<std::function<void()>> layouts;
  for (Pass& pass : passes_) layouts.emplace_back([&] { lay_out_pass(arena, pass); });
  arena.overlay(layouts);
  prepared_ = nullptr;
}

void RunMemory::lay_out_step(Arena& arena) {
  if (!shard_.everything) {
    range_norms_ = arena.allocate(MemoryUse::kScratch, {std::ssize(shard_.ranges)}, DType::kFloat64);
    rank_norms_ = arena.allocate(MemoryUse::kScratch, {mesh_.data_size()}, DType::kFloat64);
  }
  const int64_t reduced = std::max(gradients_.flat.numel(), largest_batch());
  reduction_scratch_ = arena.allocate(MemoryUse::kScratch, {backend_.reduction_scratch(reduced)}, DType::kUInt8);
}

void RunMemory::round_weights() {
  if (weights_.flat.dtype() == master_.flat.dtype()) return;
  backend_.copy(backend_.compute_stream(), weights_.flat, master_.flat);
}

void RunMemory::set_weights(const Tensor& host) {
  const Stream stream = backend_.compute_stream();
  if (master_is_sharded()) {
    // No tensor but the gradients has the type and the length of `host`.
    upload(backend_, gradients_.flat, host);
    backend_.copy(stream, weights_.flat, gradients_.flat);
    copy_shard(backend_, stream, master_.flat, shard_, gradients_.flat, unsharded(config_.model));
  } else {
    upload(backend_, master_.flat, host);
    round_weights();
  }
  backend_.wait(stream);
}

int64_t RunMemory::largest_batch() const {
  int64_t largest = 1;
  for (const Pass& pass : passes_) largest = std::max(largest, pass.settings.batch * pass.settings.sequence_length);
  return largest;
}

void RunMemory::lay_out_pass(Arena& arena, Pass& pass) {
  const int64_t activations = arena.used(MemoryUse::kActivations);
  const int64_t scratch = arena.used(MemoryUse::kScratch);
  const int64_t batch = arena.used(MemoryUse::kBatch);
  const Shape tokens{pass.settings.batch, pass.settings.sequence_length};
  pass.inputs = arena.allocate(MemoryUse::kBatch, tokens, DType::kInt32);
  pass.targets = arena.allocate(MemoryUse::kBatch, tokens, DType::kInt32);
  pass.model->lay_out(arena);
  pass.activations = arena.used(MemoryUse::kActivations) - activations;
  pass.scratch = arena.used(MemoryUse::kScratch) - scratch;
  pass.batch = arena.used(MemoryUse::kBatch) - batch;
}

void RunMemory::add_layer_hook(const LayerHooks::Layer& hook) {
  for (Pass& pass : passes_) pass.model->add_hooks({.weights_needed = hook});
}

Pass& RunMemory::training_pass(int64_t stage, AttentionKind kind) {
  return prepared(settings_of(stage, kind, true));
}

Pass& RunMemory::evaluation_pass(int64_t stage, AttentionKind kind) {
  return prepared(settings_of(stage, kind, false));
}

Pass& RunMemory::prepared(const PassSettings& settings) {
  for (Pass& pass : passes_) {
    if (!same(pass.settings, settings)) continue;
    if (prepared_ != &pass) pass.model->prepare(backend_.compute_stream());
    prepared_ = &pass;
    return pass;
  }
  throw std::logic_error("the config has no steps of this kind");
}

}  // namespace lighthouse
