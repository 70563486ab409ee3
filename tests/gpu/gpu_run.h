// Tiny runs on a GPU, whole and a step at a time. Without a GPU their tests are skipped.
#pragma once

#include "lighthouse/kernels/cuda.h"
#include "lighthouse/ops/transfer.h"
#include "lighthouse/train/memory_plan.h"
#include "lighthouse/train/model_tokenizer.h"
#include "train/tiny_run.h"

namespace lighthouse {

inline const CudaOptions kFloat32{.dtype = DType::kFloat32};  // always the same bits
inline const CudaOptions kBFloat16{.dtype = DType::kBFloat16};
inline const CudaOptions kDeterministic{.dtype = DType::kBFloat16, .deterministic = true};

class GpuRun : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
    gpu_ = make_cuda_backend(options());
  }
  virtual CudaOptions options() const { return kFloat32; }

  TemporaryFolder folder_;
  std::unique_ptr<Backend> gpu_;
};

/// In each type, with the same bits on every call.
class GpuRunOfType : public GpuRun, public testing::WithParamInterface<DType> {
 protected:
  CudaOptions options() const override { return GetParam() == DType::kFloat32 ? kFloat32 : kDeterministic; }
};

inline const auto kTypes = testing::Values(DType::kFloat32, DType::kBFloat16);
inline std::string type_name(const testing::TestParamInfo<DType>& type) {
  return std::string(name_of(type.param));
}

/// Twelve windows to train on and five to validate with.
inline DataSection windows_of(const TemporaryFolder& folder, int64_t length) {
  DataSection data;
  data.train = {{(folder / ("train-" + std::to_string(length) + ".bin")).string(), 1}};
  data.validation = (folder / ("val-" + std::to_string(length) + ".bin")).string();
  write_shard(data.train[0].path, random_tokens(12 * length + 1, 257, 1));
  write_shard(data.validation, random_tokens(5 * length + 1, 257, 2));
  return data;
}

/// tiny_run's nine steps, all dense: five of two micro-batches, then four of one.
inline RunConfig dense_run(const TemporaryFolder& folder, const std::string& name = "run", int64_t length = 64) {
  RunConfig config = tiny_run(folder, name);
  config.model.hidden_size = 64;
  config.model.intermediate_size = 96;
  config.model.num_key_value_heads = config.model.num_attention_heads = 2;
  config.data = windows_of(folder, length);
  config.batch = {length, 1, 2};
  config.stages[0].attention = AttentionKind::kDense;
  config.stages[0].dense_every = 0;
  resolve_stages(config);
  config.stages[1].batch.micro_batch_size = 2;
  config.optimizer.learning_rate = 1e-3;
  return config;
}

/// The same run, of which the first stage is Lighthouse, but for its second and fourth step.
inline RunConfig lighthouse_run(const TemporaryFolder& folder, const std::string& name = "run", int64_t length = 64) {
  RunConfig config = dense_run(folder, name, length);
  config.stages[0].attention = AttentionKind::kLighthouse;
  config.stages[0].dense_every = 2;
  return config;
}

/// The dense run within documents, of some 20 tokens each.
inline RunConfig masked_run(const TemporaryFolder& folder, const std::string& name = "run") {
  RunConfig config = dense_run(folder, name);
  const auto write = [](const std::filesystem::path& path, int64_t count, unsigned seed) {
    std::vector<int32_t> tokens = random_tokens(count, 257, seed);
    for (int32_t& token : tokens) token = token % 20 == 0 ? 256 : token;
    write_shard(path, tokens);
  };
  write(config.data.train[0].path, 12 * 64 + 1, 1);
  write(config.data.validation, 5 * 64 + 1, 2);
  config.data.document_mask = DocumentMask::kAttention;
  resolve_stages(config);
  return config;
}

inline RunConfig run_of(AttentionKind kind, const TemporaryFolder& folder, const std::string& name = "run",
                        int64_t length = 64) {
  return kind == AttentionKind::kDense ? dense_run(folder, name, length) : lighthouse_run(folder, name, length);
}

/// One stage whose steps do not depend on how many follow.
inline RunConfig one_stage_run(const TemporaryFolder& folder, int64_t steps, const std::string& name = "run") {
  RunConfig config = dense_run(folder, name);
  config.stages.resize(1);
  config.stages[0].steps = steps;
  config.schedule.decay = Decay::kConstant;
  return config;
}

inline RunConfig with_batch(RunConfig config, int64_t micro, int64_t global) {
  config.batch.micro_batch_size = micro;
  config.batch.global_batch_size = global;
  resolve_stages(config);
  return config;
}

/// Runs to the end, or to what is thrown.
inline void train_on(Backend& backend, const RunConfig& config, Recorder& recorder, const StartOptions& start = {},
                     const TrainingStep::GradientHook& hook = {}) {
  Trainer trainer(config, start, backend, recorder);
  if (hook) trainer.set_gradient_hook(hook);
  trainer.run();
}
inline void train_on(Backend& backend, const RunConfig& config, const StartOptions& start = {}) {
  Recorder recorder;
  train_on(backend, config, recorder, start);
}

/// The weights and moments that a run had at a step are those that another had at it, bit for bit.
inline void expect_same_checkpoint(const RunConfig& a, const RunConfig& b, int64_t step) {
  for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
    EXPECT_TRUE(read_file(checkpoint_of(a, step) / file) == read_file(checkpoint_of(b, step) / file))
        << file << " of step " << step;
  }
}

/// A run's memory and data on a device, and a step of its first stage at a time.
struct Steps {
  Steps(const RunConfig& run_config, Backend& on)
      : config(with_document_ends(run_config)),
        batch(config.stages[0].batch),
        backend(on),
        memory(config, backend),
        arena(backend.allocate(planned_bytes(config, backend))),
        feed(backend, memory.largest_batch()),
        step(memory, feed, backend),
        loader(config.data.train, batch.sequence_length, config.model.vocab_size, 42) {
    memory.lay_out(arena);
    Arena measuring;
    lay_out_parameters(measuring, MemoryUse::kWeights, config.model);
    Arena host(measuring.used());
    const Parameters initial = lay_out_parameters(host, MemoryUse::kWeights, config.model);
    initialize(initial, config.model, 42);
    upload(backend, memory.master_weights().flat, initial.flat);
    memory.round_weights();
  }

  Pass& pass() { return memory.training_pass(0, config.stages[0].attention); }

  StepResult run() {
    const auto next = [&](std::span<int32_t> windows) {
      loader.next(batch.micro_batch_size, 0, batch.micro_batch_size, windows);
    };
    step.begin(pass(), batch, next, config.optimizer.learning_rate);
    return step.finish();
  }

  std::vector<float> weights() const { return download<float>(backend, memory.master_weights().flat); }
  std::vector<float> gradients() const { return download<float>(backend, memory.gradients().flat); }

  RunConfig config;
  BatchSection batch;
  Backend& backend;
  RunMemory memory;
  Arena arena;
  BatchFeed feed;
  TrainingStep step;
  Loader loader;
};

}  // namespace lighthouse
