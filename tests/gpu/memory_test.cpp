// What a run takes of the GPU's memory, and what is said when that is too much.
#include <regex>

#include "gpu_run.h"
#include "lighthouse/core/units.h"
#include "lighthouse/kernels/planning.h"

namespace lighthouse {
namespace {

class GpuMemory : public GpuRunOfType {
 protected:
  CudaOptions options() const override { return {.dtype = GetParam()}; }

  /// Layers enough for what they keep to outweigh what they share.
  RunConfig deep(RecomputeChoice recompute) {
    RunConfig config = with_batch(one_stage_run(folder_, 2), 8, 8);
    config.model.num_hidden_layers = 12;
    config.stages[0].recompute = recompute;
    return config;
  }
};

TEST_P(GpuMemory, PlanAndRunAreTheSame) {
  const RunConfig config = dense_run(folder_);
  const int64_t planned = planned_bytes(config, *gpu_);
  Arena arena(gpu_->allocate(planned));
  RunMemory memory(config, *gpu_);
  memory.lay_out(arena);  // throws if a byte is missing
  EXPECT_EQ(arena.used(), planned);
  EXPECT_EQ(memory.gradients().flat.device(), gpu_->device());
  Arena small(gpu_->allocate(planned - 1));
  EXPECT_THROW(RunMemory(config, *gpu_).lay_out(small), std::logic_error);
}

TEST_P(GpuMemory, APlanWithoutAGpuIsTheSame) {
  const auto planned = make_planned_cuda_backend(options());
  for (const RunConfig& config : {dense_run(folder_), masked_run(folder_), lighthouse_run(folder_),
                                  deep(RecomputeChoice::kNone), deep(RecomputeChoice::kBlock)}) {
    EXPECT_EQ(planned_bytes(config, *gpu_), planned_bytes(config, *planned));
  }
}

TEST_P(GpuMemory, ARunThatIsTooLargeIsRefusedWithWhatWouldFit) {
  const RunConfig config = with_batch(dense_run(folder_), int64_t{1} << 24, int64_t{1} << 24);
  Recorder recorder;
  const std::string message = refusal([&] { train_on(*gpu_, config, recorder); });
  EXPECT_TRUE(std::regex_search(message, std::regex("batch\\.micro_batch_size=[0-9]+ would fit"))) << message;
  EXPECT_EQ(recorder.first, -1) << "it has not begun";
}

TEST_P(GpuMemory, AnAllocationThatIsTooLargeSaysWhatHelpsAndHarmsNothing) {
  const std::string message = refusal([&] { gpu_->allocate(int64_t{1} << 50); });
  for (const char* advice : {"memory.recompute", "batch.micro_batch_size", "batch.sequence_length"}) {
    EXPECT_TRUE(contains(message, advice));
  }
  train_on(*gpu_, dense_run(folder_));
}

TEST_P(GpuMemory, RecomputesTheLeastThatFits) {
  int64_t before = INT64_MAX;
  for (const RecomputeChoice choice :
       {RecomputeChoice::kNone, RecomputeChoice::kNorms, RecomputeChoice::kMlp, RecomputeChoice::kBlock}) {
    SCOPED_TRACE(name_of(recompute_of(choice)));
    const int64_t needed = planned_bytes(deep(choice), *gpu_);
    EXPECT_LT(needed, before);
    before = needed;
    RunConfig config = deep(RecomputeChoice::kAuto);
    config.hardware.memory = static_cast<double>(needed) / static_cast<double>(kGibibyte);
    const int64_t available = available_bytes(config, *gpu_);
    EXPECT_EQ(available, needed);
    const RunConfig resolved = with_recompute(config, *gpu_, available);
    EXPECT_EQ(resolved.stages[0].recompute, choice);
    EXPECT_NO_THROW(check_memory(resolved, *gpu_, available));
    std::filesystem::remove_all(resolved.run.directory);
    EXPECT_NO_THROW(train_on(*gpu_, resolved));
  }
}

INSTANTIATE_TEST_SUITE_P(Types, GpuMemory, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
