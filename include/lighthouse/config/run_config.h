// Everything that a run's YAML file says. One struct a section, named as in the file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lighthouse/core/dtype.h"
#include "lighthouse/data/loader.h"
#include "lighthouse/model/attention/settings.h"
#include "lighthouse/model/config.h"

namespace lighthouse {

enum class DeviceChoice : uint8_t { kAuto, kCpu, kCuda };
enum class DTypeChoice : uint8_t { kAuto, kFloat32, kBFloat16 };
enum class RecomputeChoice : uint8_t { kAuto, kNone, kNorms, kMlp, kBlock };
enum class DocumentMask : uint8_t { kNone, kAttention };
enum class CommunicationChoice : uint8_t { kAuto, kNccl, kMpi };
enum class Decay : uint8_t { kConstant, kLinear, kCosine };

struct RunSection {
  std::string name = "run";
  std::string directory;  // default: runs/<name>
  int64_t seed = 42;
  DeviceChoice device = DeviceChoice::kAuto;
  DTypeChoice dtype = DTypeChoice::kAuto;  // of activations and of the weights that they meet
  bool deterministic = false;              // attention's backward too; all else always is
  std::string init_from;                   // a checkpoint: start from its weights
  std::string branch_from;                 // a checkpoint: continue its whole state here

  friend bool operator==(const RunSection&, const RunSection&) = default;
};

struct DataSection {
  std::vector<DataSource> train;
  std::string validation;  // files by pattern; "" for no validation
  DocumentMask document_mask = DocumentMask::kNone;

  friend bool operator==(const DataSection&, const DataSection&) = default;
};

/// Batch sizes count sequences.
struct BatchSection {
  int64_t sequence_length = 1024;
  int64_t micro_batch_size = 1;
  int64_t global_batch_size = 1;

  int64_t micro_batches() const { return global_batch_size / micro_batch_size; }
  int64_t tokens_per_step() const { return global_batch_size * sequence_length; }

  friend bool operator==(const BatchSection&, const BatchSection&) = default;
};

/// A stretch of steps. What it does not set it takes from the sections above, so that here everything is resolved.
struct StageSection {
  std::string name;
  AttentionKind attention = AttentionKind::kDense;
  int64_t steps = 0;
  double learning_rate_factor = 1;
  int64_t dense_every = 0;  // in a window or Lighthouse stage every n-th step is dense; 0: none is
  double rope_theta = 10000;
  RecomputeChoice recompute = RecomputeChoice::kAuto;
  BatchSection batch;
  DataSection data;
  // Attention does not look past this token. Not in the file: with_document_ends() takes it from the tokenizer.
  std::optional<int32_t> document_end = {};

  friend bool operator==(const StageSection&, const StageSection&) = default;
};

struct OptimizerSection {
  std::string name = "adamw";
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  double clip_grad_norm = 1.0;  // 0: no clipping
  DType state_dtype = DType::kFloat32;

  friend bool operator==(const OptimizerSection&, const OptimizerSection&) = default;
};

struct ScheduleSection {
  int64_t warmup_steps = 0;
  Decay decay = Decay::kLinear;
  int64_t decay_steps = 0;  // 0: all that follow the warm-up
  double min_ratio = 0;

  friend bool operator==(const ScheduleSection&, const ScheduleSection&) = default;
};

struct CheckpointSection {
  int64_t every = 1000;  // 0: only at the end of a stage
  int64_t keep = 3;      // newest ones kept; the one at the end of a stage always is

  friend bool operator==(const CheckpointSection&, const CheckpointSection&) = default;
};

struct EvaluationSection {
  int64_t every = 500;   // 0: only at the end of a stage
  int64_t batches = 20;  // micro-batches of the validation data

  friend bool operator==(const EvaluationSection&, const EvaluationSection&) = default;
};

struct TrainSection {
  int64_t max_skipped_steps = 10;  // in a row, before the run stops

  friend bool operator==(const TrainSection&, const TrainSection&) = default;
};

struct MemorySection {
  RecomputeChoice recompute = RecomputeChoice::kAuto;  // auto: the least that fits
  double attention_workspace = 8;                      // GiB that the deterministic backward of attention may take
  double logits = 0;                                   // GiB of logits at a time; 0: the backend's choice

  friend bool operator==(const MemorySection&, const MemorySection&) = default;
};

/// Many processes (docs/distributed.md).
struct DistributedSection {
  CommunicationChoice backend = CommunicationChoice::kAuto;
  bool shard_optimizer = false;  // ZeRO stage 1
  double bucket = 64;            // MiB of gradients that are summed together
  double timeout_seconds = 30;   // a rank that is silent for so long is gone
  double stall_seconds = 1800;   // that ranks wait for others that live

  friend bool operator==(const DistributedSection&, const DistributedSection&) = default;
};

/// Of the device; 0: what it says itself, or for a plan the sheet of the GPU that is planned for.
struct HardwareSection {
  double peak_tflops = 0;  // for utilisation and the plan's step time
  double memory = 0;       // GiB that a run may take
  double bandwidth = 0;    // TB/s, for the plan's step time
  // Links, for the plan of many ranks.
  int64_t ranks_per_host = 8;
  double link_bandwidth = 350;    // GB/s of a rank to others of its host, each way
  double link_latency = 4;        // microseconds
  double network_bandwidth = 45;  // GB/s of a rank to other hosts, each way
  double network_latency = 12;    // microseconds

  friend bool operator==(const HardwareSection&, const HardwareSection&) = default;
};

struct RunConfig {
  RunSection run;
  ModelConfig model;
  AttentionSettings attention;
  DataSection data;
  BatchSection batch;
  std::vector<StageSection> stages;
  OptimizerSection optimizer;
  ScheduleSection schedule;
  CheckpointSection checkpoint;
  EvaluationSection evaluation;
  TrainSection train;
  MemorySection memory;
  DistributedSection distributed;
  HardwareSection hardware;

  int64_t total_steps() const;

  friend bool operator==(const RunConfig&, const RunConfig&) = default;
};

}  // namespace lighthouse
