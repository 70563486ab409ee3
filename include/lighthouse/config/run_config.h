// The contents of a run's YAML file: one struct for each section, named as in the file. src/config/schema.cpp documents
// each key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lighthouse/core/dtype.h"
#include "lighthouse/core/units.h"
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
  DTypeChoice dtype = DTypeChoice::kAuto;  // of activations and of the weights used in computation
  bool deterministic = false;              // also for attention's backward pass; the rest always is
  std::string init_from;                   // a checkpoint whose weights start a new run
  std::string branch_from;                 // a checkpoint whose whole state continues in this run

  friend bool operator==(const RunSection&, const RunSection&) = default;
};

struct DataSection {
  std::vector<DataSource> train;
  std::string validation;  // a pattern of files; "" for no validation
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

/// A sequence of steps with the same settings. The reader copies settings that a stage does not set from the sections
/// above, so every member here is resolved.
struct StageSection {
  std::string name;
  AttentionKind attention = AttentionKind::kDense;
  int64_t steps = 0;
  double learning_rate_factor = 1;
  int64_t dense_every = 0;  // n: every n-th step of a window or Lighthouse stage is dense; 0: none
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
  int64_t decay_steps = 0;  // 0: all steps after the warm-up
  double min_ratio = 0;

  friend bool operator==(const ScheduleSection&, const ScheduleSection&) = default;
};

struct CheckpointSection {
  int64_t every = 1000;  // 0: only at the end of a stage
  int64_t keep = 3;      // number of newest checkpoints kept, besides those at the end of a stage

  friend bool operator==(const CheckpointSection&, const CheckpointSection&) = default;
};

struct EvaluationSection {
  int64_t every = 500;   // 0: only at the end of a stage
  int64_t batches = 20;  // micro-batches of the validation data

  friend bool operator==(const EvaluationSection&, const EvaluationSection&) = default;
};

struct TrainSection {
  int64_t max_skipped_steps = 10;  // consecutive skips after which the run stops

  friend bool operator==(const TrainSection&, const TrainSection&) = default;
};

struct MemorySection {
  RecomputeChoice recompute = RecomputeChoice::kAuto;  // auto: the least recomputation that fits
  double attention_workspace = 8;                      // GiB for the deterministic backward pass of attention
  double logits = 0;                                   // GiB of logits in memory at a time; 0: the backend's default

  int64_t attention_workspace_bytes() const {
    return static_cast<int64_t>(attention_workspace * static_cast<double>(kGibibyte));
  }

  friend bool operator==(const MemorySection&, const MemorySection&) = default;
};

/// Runs of several ranks (docs/distributed.md).
struct DistributedSection {
  CommunicationChoice backend = CommunicationChoice::kAuto;
  bool shard_optimizer = false;  // ZeRO stage 1
  double bucket = 64;            // MiB of gradients in one all-reduce
  double timeout_seconds = 30;   // silence after which a rank counts as dead
  double stall_seconds = 1800;   // time limit for ranks that are alive to reach a collective

  friend bool operator==(const DistributedSection&, const DistributedSection&) = default;
};

/// The device's properties. 0 means: as the device reports, or for a plan as the data sheet of the planned GPU says.
struct HardwareSection {
  double peak_tflops = 0;  // for utilisation and the planned step time
  double memory = 0;       // GiB that a run may use
  double bandwidth = 0;    // TB/s of device memory, for the planned step time
  // Links between ranks, for planning.
  int64_t ranks_per_host = 8;
  double link_bandwidth = 350;    // GB/s between ranks of one host, each way
  double link_latency = 4;        // microseconds
  double network_bandwidth = 45;  // GB/s between hosts, for each rank, each way
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
