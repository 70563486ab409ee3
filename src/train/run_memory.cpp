#include "lighthouse/train/run_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/tokenizer.h"
#include "lighthouse/ops/transfer.h"

namespace lighthouse {
namespace {

constexpr double kGibibyte = 1024.0 * 1024 * 1024;

bool same(const PassSettings& a, const PassSettings& b) {
  return a.batch == b.batch && a.sequence_length == b.sequence_length && a.kind == b.kind &&
         a.rope_theta == b.rope_theta && a.document_end == b.document_end && a.backward == b.backward &&
         a.recompute == b.recompute;
}

int64_t largest_micro_batch(const RunConfig& config) {
  int64_t largest = 1;
  for (const StageSection& stage : config.stages) largest = std::max(largest, stage.batch.micro_batch_size);
  return largest;
}

/// The next size below `batch` that divides every stage's global batch.
int64_t next_micro_batch(const RunConfig& config, int64_t batch) {
  const auto fits_stage = [&](const StageSection& stage) { return stage.batch.global_batch_size % batch == 0; };
  do {
    --batch;
  } while (batch > 1 && !std::all_of(config.stages.begin(), config.stages.end(), fits_stage));
  return std::max<int64_t>(batch, 1);
}

}  // namespace

std::optional<int32_t> document_end_of(const RunConfig& config, const StageSection& stage) {
  if (stage.data.document_mask == DocumentMask::kNone) return std::nullopt;
  return make_tokenizer(config.model.tokenizer)->end_of_text();
}

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
    : config_(config), backend_(backend), mesh_(mesh), optimizer_(config.optimizer, backend) {
  constexpr double kMebibyte = 1024.0 * 1024;
  buckets_ = plan_buckets(config.model, kMebibyte * config.distributed.bucket, mesh.data_size());
  const bool shared_out = config.distributed.shard_optimizer && mesh.data_size() > 1;
  shard_ = shared_out ? shard_of_buckets(buckets_, mesh.data_size(), mesh.data_rank()) : unsharded(config.model);
  for (size_t i = 0; i < config.stages.size(); ++i) {
    const StageSection& stage = config.stages[i];
    const auto index = static_cast<int64_t>(i);
    document_ends_.push_back(document_end_of(config, stage));
    add_pass(stage.name, index, stage.attention, true);
    if (stage.dense_every > 0) add_pass(stage.name + ", dense steps", index, AttentionKind::kDense, true);
    if (stage.data.validation.empty()) continue;
    add_pass(stage.name + ", evaluation", index, stage.attention, false);
    add_pass(stage.name + ", dense evaluation", index, AttentionKind::kDense, false);
  }
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
          document_ends_[static_cast<size_t>(stage)],
          static_cast<int64_t>(config_.memory.logits * kGibibyte)};
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
  optimizer_.lay_out(arena, config_.model, shard_);
  if (!shard_.everything) {
    const auto ranges = static_cast<int64_t>(shard_.ranges.size());
    range_norms_ = arena.allocate(MemoryUse::kScratch, {ranges}, DType::kFloat64);
    rank_norms_ = arena.allocate(MemoryUse::kScratch, {mesh_.data_size()}, DType::kFloat64);
  }
  const int64_t reduced = std::max(gradients_.flat.numel(), largest_batch());
  reduction_scratch_ = arena.allocate(MemoryUse::kScratch, {backend_.reduction_scratch(reduced)}, DType::kUInt8);
  persistent_bytes_ = arena.used();
  std::vector<std::function<void()>> layouts;
  for (Pass& pass : passes_) layouts.emplace_back([&] { lay_out_pass(arena, pass); });
  arena.overlay(layouts);
  prepared_ = nullptr;
}

void RunMemory::round_weights() {
  if (weights_.flat.dtype() == master_.flat.dtype()) return;
  backend_.copy(backend_.compute_stream(), weights_.flat, master_.flat);
}

void RunMemory::set_weights(const Tensor& host) {
  const Stream stream = backend_.compute_stream();
  if (!master_is_sharded()) {
    upload(backend_, master_.flat, host);
    round_weights();
    return backend_.wait(stream);
  }
  // By way of the gradients, which are of their type and length.
  upload(backend_, gradients_.flat, host);
  backend_.copy(stream, weights_.flat, gradients_.flat);
  for (const ShardRange& range : shard_.ranges) {
    backend_.copy(stream, master_.flat.slice(0, range.at, range.at + range.size()),
                  gradients_.flat.slice(0, range.begin, range.end));
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

void RunMemory::set_layer_hook(const LayerHooks::Layer& hook) {
  for (Pass& pass : passes_) pass.model->add_hooks({.weights_needed = hook});
}

Pass& RunMemory::training_pass(int64_t stage, AttentionKind kind) {
  return ready(settings_of(stage, kind, true));
}

Pass& RunMemory::evaluation_pass(int64_t stage, AttentionKind kind) {
  return ready(settings_of(stage, kind, false));
}

Pass& RunMemory::ready(const PassSettings& settings) {
  for (Pass& pass : passes_) {
    if (!same(pass.settings, settings)) continue;
    if (prepared_ != &pass) pass.model->prepare(backend_.compute_stream());
    prepared_ = &pass;
    return pass;
  }
  throw std::logic_error("a pass that was not planned");
}

int64_t planned_bytes(const RunConfig& config, Backend& backend, const Mesh& mesh) {
  Arena measuring;
  RunMemory(config, backend, mesh).lay_out(measuring);
  return measuring.used();
}

int64_t available_bytes(const RunConfig& config, const Backend& backend) {
  if (config.hardware.memory > 0) return static_cast<int64_t>(config.hardware.memory * kGibibyte);
  return backend.hardware().memory_bytes;
}

RunConfig with_recompute(const RunConfig& config, Backend& backend, int64_t available, const Mesh& mesh) {
  RunConfig resolved = config;
  for (size_t i = 0; i < config.stages.size(); ++i) {
    RecomputeChoice& choice = resolved.stages[i].recompute;
    if (choice != RecomputeChoice::kAuto) continue;
    RunConfig alone = config;
    for (RecomputeChoice candidate :
         {RecomputeChoice::kNone, RecomputeChoice::kNorms, RecomputeChoice::kMlp, RecomputeChoice::kBlock}) {
      choice = candidate;
      alone.stages = {resolved.stages[i]};
      if (planned_bytes(alone, backend, mesh) <= available) break;
    }
  }
  return resolved;
}

namespace {

/// Which setting would make a run fit that does not.
class Advice {
 public:
  Advice(const RunConfig& config, Backend& backend, int64_t available, const Mesh& mesh)
      : config_(config), backend_(backend), available_(available), mesh_(mesh) {}

  std::string text() const {
    if (recomputing_helps()) return "memory.recompute=auto would";
    if (sharding_helps()) return "distributed.shard_optimizer=true would";
    if (fits(with_micro_batch(1))) return micro_batch();
    return shorter_sequence();
  }

 private:
  bool fits(const RunConfig& config) const { return planned_bytes(config, backend_, mesh_) <= available_; }

  bool sharding_helps() const {
    RunConfig sharded = config_;
    sharded.distributed.shard_optimizer = true;
    return mesh_.data_size() > 1 && !config_.distributed.shard_optimizer && fits(sharded);
  }

  RunConfig with_micro_batch(int64_t at_most) const {
    RunConfig smaller = config_;
    for (StageSection& stage : smaller.stages) {
      stage.batch.micro_batch_size = std::min(stage.batch.micro_batch_size, at_most);
    }
    return smaller;
  }

  /// Whether somebody asked for less recomputation than there could be, and more would do.
  bool recomputing_helps() const {
    RunConfig most = config_;
    bool less_was_asked_for = false;
    for (StageSection& stage : most.stages) {
      less_was_asked_for |= stage.recompute != RecomputeChoice::kAuto && stage.recompute != RecomputeChoice::kBlock;
      stage.recompute = RecomputeChoice::kBlock;
    }
    return less_was_asked_for && fits(most);
  }

  std::string micro_batch() const {
    int64_t batch = largest_micro_batch(config_);
    do {
      batch = next_micro_batch(config_, batch);
    } while (batch > 1 && !fits(with_micro_batch(batch)));
    return fmt::format("batch.micro_batch_size={} would", batch);
  }

  std::string shorter_sequence() const {
    // Dense only: a halved sequence length may break a rule of the pyramid, and dense attention needs no less.
    RunConfig smaller = with_micro_batch(1);
    for (StageSection& stage : smaller.stages) stage.attention = AttentionKind::kDense;
    for (int64_t length = config_.batch.sequence_length / 2; length >= 128; length /= 2) {
      for (StageSection& stage : smaller.stages) stage.batch.sequence_length = length;
      if (fits(smaller)) return fmt::format("batch.micro_batch_size=1 with batch.sequence_length={} would", length);
    }
    return "only a smaller model would";
  }

  const RunConfig& config_;
  Backend& backend_;
  int64_t available_;
  Mesh mesh_;
};

}  // namespace

void check_memory(const RunConfig& config, Backend& backend, int64_t available, const Mesh& mesh) {
  const int64_t needed = planned_bytes(config, backend, mesh);
  if (needed <= available) return;
  throw InputError(
      fmt::format("the run needs {} of memory and {} are there: {} too many would be used; {} fit "
                  "(`lighthouse plan` shows what takes how much)",
                  format_bytes(needed), format_bytes(available), format_bytes(needed - available),
                  Advice(config, backend, available, mesh).text()));
}

}  // namespace lighthouse
