#include "lighthouse/train/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/core/units.h"
#include "lighthouse/train/run_memory.h"

namespace lighthouse {
namespace {

/// Finds a setting that makes a run fit into memory.
class MemoryAdvice {
 public:
  MemoryAdvice(const RunConfig& config, Backend& backend, int64_t available, const Mesh& mesh)
      : config_(config), backend_(backend), available_(available), mesh_(mesh) {}

  /// "batch.micro_batch_size=4 would fit"
  std::string text() const {
    if (more_recomputation_fits()) return "memory.recompute=auto would fit";
    if (sharding_fits()) return "distributed.shard_optimizer=true would fit";
    if (fits(with_micro_batch(1)))
      return fmt::format("batch.micro_batch_size={} would fit", largest_fitting_micro_batch());
    return shorter_sequence();
  }

 private:
  bool fits(const RunConfig& config) const { return planned_bytes(config, backend_, mesh_) <= available_; }

  /// Whether the config sets less recomputation than the most, and the most would fit.
  bool more_recomputation_fits() const {
    RunConfig most = config_;
    bool can_recompute_more = false;
    for (StageSection& stage : most.stages) {
      can_recompute_more |= stage.recompute != RecomputeChoice::kAuto && stage.recompute != RecomputeChoice::kBlock;
      stage.recompute = RecomputeChoice::kBlock;
    }
    return can_recompute_more && fits(most);
  }

  bool sharding_fits() const {
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

  int64_t largest_fitting_micro_batch() const {
    int64_t batch = 1;
    for (const StageSection& stage : config_.stages) batch = std::max(batch, stage.batch.micro_batch_size);
    do {
      batch = next_micro_batch(batch);
    } while (batch > 1 && !fits(with_micro_batch(batch)));
    return batch;
  }

  /// The next size below `batch` that divides every stage's global batch.
  int64_t next_micro_batch(int64_t batch) const {
    const auto divides = [&](const StageSection& stage) { return stage.batch.global_batch_size % batch == 0; };
    do {
      --batch;
    } while (batch > 1 && !std::all_of(config_.stages.begin(), config_.stages.end(), divides));
    return std::max<int64_t>(batch, 1);
  }

  std::string shorter_sequence() const {
    // Measured in dense attention: half the sequence length may break a rule of the pyramid, and dense attention needs
    // no less memory.
    RunConfig smaller = with_micro_batch(1);
    for (StageSection& stage : smaller.stages) stage.attention = AttentionKind::kDense;
    for (int64_t length = config_.batch.sequence_length / 2; length >= 128; length /= 2) {
      for (StageSection& stage : smaller.stages) stage.batch.sequence_length = length;
      if (fits(smaller)) return fmt::format("batch.micro_batch_size=1 with batch.sequence_length={} would fit", length);
    }
    return "only a smaller model would fit";
  }

  const RunConfig& config_;
  Backend& backend_;
  int64_t available_;
  Mesh mesh_;
};

}  // namespace

int64_t planned_bytes(const RunConfig& config, Backend& backend, const Mesh& mesh) {
  Arena measuring;
  RunMemory(config, backend, mesh).lay_out(measuring);
  return measuring.used();
}

int64_t available_bytes(const RunConfig& config, const Backend& backend) {
  if (config.hardware.memory > 0) return static_cast<int64_t>(config.hardware.memory * static_cast<double>(kGibibyte));
  return backend.hardware().memory_bytes;
}

RunConfig with_recompute(const RunConfig& config, Backend& backend, int64_t available, const Mesh& mesh) {
  RunConfig resolved = config;
  for (size_t i = 0; i < config.stages.size(); ++i) {
    RecomputeChoice& choice = resolved.stages[i].recompute;
    if (choice != RecomputeChoice::kAuto) continue;
    RunConfig stage_alone = config;
    for (RecomputeChoice candidate :
         {RecomputeChoice::kNone, RecomputeChoice::kNorms, RecomputeChoice::kMlp, RecomputeChoice::kBlock}) {
      choice = candidate;
      stage_alone.stages = {resolved.stages[i]};
      if (planned_bytes(stage_alone, backend, mesh) <= available) break;
    }
  }
  return resolved;
}

void check_memory(const RunConfig& config, Backend& backend, int64_t available, const Mesh& mesh) {
  const int64_t needed = planned_bytes(config, backend, mesh);
  if (needed <= available) return;
  throw InputError(fmt::format(
      "the run needs {} of memory, {} more than the {} available; {} (`lighthouse plan` shows what takes how much)",
      format_bytes(needed), format_bytes(needed - available), format_bytes(available),
      MemoryAdvice(config, backend, available, mesh).text()));
}

}  // namespace lighthouse
