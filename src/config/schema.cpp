#include "schema.h"

#include <algorithm>
#include <string>
#include <vector>

namespace lighthouse {
namespace {

// Upper bounds, far above any sensible value, that keep products of sizes within 64 bits.
constexpr int64_t kMaxSteps = 1'000'000'000'000;
constexpr int64_t kMaxSequence = int64_t{1} << 30;
constexpr int64_t kMaxBatch = int64_t{1} << 20;
constexpr int64_t kMaxWidth = int64_t{1} << 20;
constexpr int64_t kMaxVocabulary = int64_t{1} << 30;
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxBatches = int64_t{1} << 30;

constexpr RealRange kPositive{0, 1e9, true, false};
constexpr RealRange kFraction{0, 1, false, false};
constexpr RealRange kBelowOne{0, 1, false, true};

/// The names of an enum's values, in the order of the enum.
using Names = std::vector<std::string>;

template <typename Enum>
void choice(FieldVisitor& visitor, const char* name, Enum& value, const Choices& choices, const char* doc) {
  std::string word = choices.names.at(static_cast<size_t>(value));
  visitor.choice(name, word, choices, doc);
  const auto found = std::find(choices.names.begin(), choices.names.end(), word);
  value = static_cast<Enum>(found - choices.names.begin());
}

/// The floating-point type of optimizer state.
void dtype(FieldVisitor& visitor, const char* name, DType& value, const char* doc) {
  std::string word(name_of(value));
  visitor.choice(name, word, {Names{"float32", "bfloat16"}}, doc);
  value = word == name_of(DType::kBFloat16) ? DType::kBFloat16 : DType::kFloat32;
}

constexpr const char* kRecomputeDoc =
    "activations that the backward pass recomputes instead of keeping: `none`; the outputs of `norms`; `mlp`: also "
    "gate "
    "and up; `block`: everything but a layer's input; `auto`: the least that fits into memory";

void recompute(FieldVisitor& visitor, RecomputeChoice& value, const char* doc) {
  choice(visitor, "recompute", value, {Names{"auto", "none", "norms", "mlp", "block"}}, doc);
}

void visit(RunSection& run, FieldVisitor& v) {
  v.text("name", run.name, TextRule::kNotEmpty, "the run's name; also the name of a folder, so without \"/\"");
  v.path("directory", run.directory, TextRule::kAny, "the folder of the run's files; `runs/<name>` if not set");
  v.integer("seed", run.seed, {0}, "seed of the initial weights and of the order of the data");
  choice(v, "device", run.device, {Names{"auto", "cpu", "cuda"}}, "`auto`: a GPU if there is one");
  choice(v, "dtype", run.dtype, {Names{"auto", "float32", "bfloat16"}},
         "type of activations and of the weights used in computation; `auto`: bfloat16 on a GPU, float32 on the CPU, "
         "which "
         "supports no other. Master weights are float32");
  v.boolean("deterministic", run.deterministic,
            "on a GPU: make attention's backward pass bit-reproducible too; everything else always is");
  v.path("init_from", run.init_from, TextRule::kAny, "a checkpoint whose weights start a new run");
  v.path("branch_from", run.branch_from, TextRule::kAny,
         "a checkpoint whose whole state (optimizer, data position, step) continues in this run's directory");
}

void visit(RopeScaling& scaling, FieldVisitor& v) {
  choice(v, "type", scaling.kind, {Names{"none", "linear", "llama3"}},
         "`linear`: `factor` scales all wavelengths; `llama3`: `factor` scales the long ones");
  v.real("factor", scaling.factor, {1, 1e6}, "scale of the wavelengths");
  v.real("low_freq_factor", scaling.low_freq_factor, kPositive,
         "`llama3`: wavelengths longer than the original length divided by this are scaled in full");
  v.real("high_freq_factor", scaling.high_freq_factor, kPositive,
         "`llama3`: wavelengths shorter than the original length divided by this are not scaled");
  v.integer("original_max_position_embeddings", scaling.original_max_position_embeddings, {1, kMaxSequence},
            "`llama3`: the sequence length of the original training");
}

void visit(ModelConfig& model, FieldVisitor& v) {
  v.preset(
      "preset", {model_preset_names()}, [&](const std::string& name) { model = model_preset(name).value(); },
      "a named model; other keys change it. `--set model.preset=NAME` replaces the whole section");
  v.path("tokenizer", model.tokenizer, TextRule::kNotEmpty,
         "`bytes`: one token for each byte, and 256 for end of text; or a SentencePiece model (`....model`), a Hugging "
         "Face folder "
         "or its `tokenizer.json`");
  v.integer("vocab_size", model.vocab_size, {1, kMaxVocabulary}, "at least the tokenizer's vocabulary");
  v.integer("unused_tokens", model.unused_tokens, {0, kMaxVocabulary},
            "rows at the end of the vocabulary without a token; loss and sampling exclude them");
  v.integer("hidden_size", model.hidden_size, {1, kMaxWidth}, "C, width of the residual stream");
  v.integer("intermediate_size", model.intermediate_size, {1, kMaxWidth}, "F, inner width of the feed-forward network");
  v.integer("num_hidden_layers", model.num_hidden_layers, {1, kMaxLayers}, "transformer layers");
  v.integer("num_attention_heads", model.num_attention_heads, {1, kMaxWidth}, "H, query heads");
  v.integer("num_key_value_heads", model.num_key_value_heads, {1, kMaxWidth}, "key/value heads; a divisor of H");
  v.integer("head_dim", model.explicit_head_dim, {0, kMaxWidth},
            "size of a head, a multiple of 8; 0: hidden_size / num_attention_heads");
  v.real("rope_theta", model.rope_theta, {1, 1e12}, "base of the rotary embedding's wavelengths");
  v.section(
      "rope_scaling", [&](FieldVisitor& f) { visit(model.rope_scaling, f); },
      "extends a model trained on shorter sequences to longer ones");
  v.real("rms_norm_eps", model.rms_norm_eps, {0, 1, true, false}, "epsilon of RMSNorm");
  v.real("initializer_range", model.initializer_range, {0, 100}, "standard deviation of initial weights");
  v.boolean("tie_word_embeddings", model.tie_word_embeddings, "one matrix for embedding and output");
  v.integer(
      "sliding_window", model.sliding_window, {0, kMaxSequence},
      "the model's own window, as in Mistral: the number of keys that a query attends to, its own included, in every "
      "stage and in generation; 0: all keys");
  v.integers("full_attention_layers", model.full_attention_layers, {-kMaxLayers, kMaxLayers - 1},
             "layers without the model's own window; negative numbers count from the end");
}

void visit(LighthouseSettings& lighthouse, FieldVisitor& v) {
  v.integer("levels", lighthouse.levels, {2, 31}, "L, levels of the pyramid, the tokens included");
  v.integer("pooling_factor", lighthouse.pooling_factor, {2, 1 << 20}, "p, entries pooled into one of the next level");
  v.integer("top_k", lighthouse.top_k, {2, kMaxSequence}, "k, entries expanded at each level; a multiple of tile");
  v.integer("tile", lighthouse.tile, {2, kMaxSequence}, "entries expanded by one tile; even");
  choice(v, "scorer", lighthouse.scorer,
         {Names{"norm", "dilated"}, {{"gla", "the gated-linear-attention scorer is not implemented"}}},
         "ranks the entries: by norms of q and k (fastest), or by dilated attention");
  v.integer("dilation", lighthouse.dilation, {1, kMaxSequence},
            "number of interleaved streams of the `dilated` scorer; a divisor of the sequence length");
  v.boolean("cover_prefix", lighthouse.cover_prefix,
            "the first positions, which no pooled entry covers, attend to the tokens before them");
  v.integers("dense_layers", lighthouse.dense_layers, {-kMaxLayers, kMaxLayers - 1},
             "layers that stay dense in Lighthouse steps; negative numbers count from the end");
  v.integer("window", lighthouse.window, {0, kMaxSequence},
            "width of the local window beside Lighthouse: each Lighthouse layer's output is the mean of the two; 0: no "
            "window");
  v.integers("window_layers", lighthouse.window_layers, {-kMaxLayers, kMaxLayers - 1},
             "layers that use only a local window (`attention.window`) in Lighthouse steps");
  v.integer("window_every", lighthouse.window_every, {0, kMaxLayers},
            "n: layers 0, n, 2n, ... also use only a local window, except those in `dense_layers`; 0: no more layers");
}

void visit(DataSource& source, FieldVisitor& v) {
  v.path("path", source.path, TextRule::kNotEmpty, "token shards: a file, or a pattern like `data/train-*.bin`");
  v.real("weight", source.weight, kPositive, "how often sequences are drawn from this source, relative to the others");
}

void visit(DataSection& data, FieldVisitor& v) {
  const FieldVisitor::List sources{data.train.size(), [&](size_t size) { data.train.assign(size, DataSource{}); },
                                   [&](FieldVisitor& element, size_t i) { visit(data.train[i], element); }, "path"};
  v.list("train", sources, "token shards for training: a pattern, or a list of patterns or maps");
  v.path("validation", data.validation, TextRule::kAny, "token shards for validation: a pattern; empty: no validation");
  choice(v, "document_mask", data.document_mask, {Names{"none", "attention"}},
         "`attention`: a token attends only to its own document, back to the previous end of text. Not in Lighthouse "
         "stages; on a GPU in bfloat16 not with `run.deterministic`. Plan and utilisation still count attention over "
         "the whole sequence");
}

void visit(BatchSection& batch, FieldVisitor& v) {
  v.integer("sequence_length", batch.sequence_length, {1, kMaxSequence}, "N, tokens in a sequence");
  v.integer("micro_batch_size", batch.micro_batch_size, {1, kMaxBatch}, "sequences in one pass through the model");
  v.integer("global_batch_size", batch.global_batch_size, {1, kMaxBatch},
            "sequences in one step; a multiple of micro_batch_size");
}

/// Copies the settings that a stage inherits from the sections above.
void inherit(StageSection& stage, const RunConfig& config) {
  stage = StageSection{};
  stage.rope_theta = config.model.rope_theta;
  stage.recompute = config.memory.recompute;
  stage.batch = config.batch;
  stage.data = config.data;
}

void visit(StageSection& stage, FieldVisitor& v) {
  v.text("name", stage.name, TextRule::kAny,
         "name in the metrics; default: attention and number, such as `lighthouse-0`");
  choice(v, "attention", stage.attention, {Names{"dense", "window", "lighthouse"}}, "attention of the stage's steps");
  v.integer("steps", stage.steps, {1, kMaxSteps}, "optimizer steps of this stage");
  v.real("learning_rate_factor", stage.learning_rate_factor, {0, 1e6},
         "multiplies the schedule's learning rate; `learning_rate` is an alias");
  // A value below 0.01 would be meant as a learning rate, not as a factor.
  v.also_called("learning_rate", "learning_rate_factor", stage.learning_rate_factor, {0.01, 1e6});
  v.integer("dense_every", stage.dense_every, {0, kMaxSteps},
            "n: every n-th step of a window or Lighthouse stage is dense, n at least 2; 0: none");
  v.real("rope_theta", stage.rope_theta, {1, 1e12}, "replaces the model's");
  recompute(v, stage.recompute, "replaces that of [memory](#memory)");
  v.section(
      "batch", [&](FieldVisitor& f) { visit(stage.batch, f); }, "keys that replace those of [batch](#batch)");
  v.section(
      "data", [&](FieldVisitor& f) { visit(stage.data, f); }, "keys that replace those of [data](#data)");
}

void visit(OptimizerSection& optimizer, FieldVisitor& v) {
  v.choice("name", optimizer.name, {Names{"adamw"}}, "AdamW");
  v.real("learning_rate", optimizer.learning_rate, kPositive, "peak, after the warm-up");
  v.real("beta1", optimizer.beta1, kBelowOne, "decay rate of the first moment");
  v.real("beta2", optimizer.beta2, kBelowOne, "decay rate of the second moment");
  v.real("epsilon", optimizer.epsilon, {0, 1, true, false}, "added to the square root of the second moment");
  v.real("weight_decay", optimizer.weight_decay, {0, 1e6},
         "decoupled weight decay of two-dimensional tensors, multiplied by the learning rate");
  v.real("clip_grad_norm", optimizer.clip_grad_norm, {0, 1e9}, "largest norm of the gradient; 0: no clipping");
  dtype(v, "state_dtype", optimizer.state_dtype, "type of both moments; `bfloat16` halves their memory");
}

void visit(ScheduleSection& schedule, FieldVisitor& v) {
  v.integer("warmup_steps", schedule.warmup_steps, {0, kMaxSteps}, "steps over which the learning rate rises");
  choice(v, "decay", schedule.decay, {Names{"constant", "linear", "cosine"}},
         "how the learning rate falls at the end of the run");
  v.integer("decay_steps", schedule.decay_steps, {0, kMaxSteps},
            "number of steps at the end of the run over which the learning rate falls, at most those after the "
            "warm-up; 0: all of them");
  v.real("min_ratio", schedule.min_ratio, kFraction, "final learning rate as a fraction of the peak");
}

void visit(CheckpointSection& checkpoint, FieldVisitor& v) {
  v.integer("every", checkpoint.every, {0, kMaxSteps}, "steps between checkpoints; 0: only at the end of a stage");
  v.integer("keep", checkpoint.keep, {1, kMaxSteps},
            "number of newest checkpoints kept, besides those at the end of a stage");
}

void visit(EvaluationSection& evaluation, FieldVisitor& v) {
  v.integer("every", evaluation.every, {0, kMaxSteps}, "steps between validations; 0: only at the end of a stage");
  v.integer("batches", evaluation.batches, {1, kMaxBatches}, "number of micro-batches of validation data");
}

void visit(TrainSection& train, FieldVisitor& v) {
  v.integer("max_skipped_steps", train.max_skipped_steps, {1, kMaxSteps},
            "number of consecutive steps skipped because of a loss or gradient that is not finite, after which the run "
            "stops");
}

void visit(MemorySection& memory, FieldVisitor& v) {
  recompute(v, memory.recompute, kRecomputeDoc);
  v.real("attention_workspace", memory.attention_workspace, {0, 1e6},
         "GiB of workspace for attention's backward pass with `run.deterministic`; if it needs more, it processes the "
         "queries in chunks");
  v.real(
      "logits", memory.logits, {0, 1e6},
      "GiB of logits in memory at a time; 0: 2 on a GPU, 1/16 on the CPU. More is slightly faster, because the output "
      "layer's gradient is accumulated in fewer pieces");
}

void visit(DistributedSection& distributed, FieldVisitor& v) {
  choice(v, "backend", distributed.backend, {Names{"auto", "nccl", "mpi"}},
         "library for collectives; `auto`: NCCL if each rank has its own GPU, else MPI");
  v.boolean("shard_optimizer", distributed.shard_optimizer,
            "ZeRO stage 1: each rank stores and updates its shard of the master weights and moments");
  v.real("bucket", distributed.bucket, {0.001, 1024}, "MiB of gradients in one collective");
  v.real("timeout_seconds", distributed.timeout_seconds, {0.2, 1e6},
         "seconds without a sign of life after which a rank counts as dead and the others stop");
  v.real("stall_seconds", distributed.stall_seconds, {1, 1e9},
         "timeout for ranks that are alive but do not reach a collective");
}

void visit(HardwareSection& hardware, FieldVisitor& v) {
  v.real("peak_tflops", hardware.peak_tflops, {0, 1e12},
         "peak TFLOP/s of the device, for utilisation and the planned step time; 0: the known value");
  v.real("memory", hardware.memory, {0, 1e9}, "GiB of device memory that a run may use; 0: all that is free");
  v.real("bandwidth", hardware.bandwidth, {0, 1e9},
         "TB/s of device memory, for the planned step time; 0: the known value");
  v.integer("ranks_per_host", hardware.ranks_per_host, {1, 1 << 20},
            "ranks on one host; this and the keys below are for planning runs of several ranks");
  v.real("link_bandwidth", hardware.link_bandwidth, kPositive, "GB/s between ranks of one host, each way (NVLink)");
  v.real("link_latency", hardware.link_latency, {0, 1e9}, "microseconds for a message between ranks of one host");
  v.real("network_bandwidth", hardware.network_bandwidth, kPositive,
         "GB/s between hosts, for each rank, each way, while all ranks send");
  v.real("network_latency", hardware.network_latency, {0, 1e9}, "microseconds for a message between hosts");
}

template <typename Section>
void section(FieldVisitor& v, const char* name, Section& fields, const char* doc) {
  v.section(
      name, [&](FieldVisitor& inner) { visit(fields, inner); }, doc);
}

}  // namespace

void visit_fields(RunConfig& config, FieldVisitor& v) {
  section(v, "run", config.run, "The run as a whole.");
  section(v, "model", config.model, "The Llama model, with Hugging Face's names.");
  v.section(
      "attention",
      [&](FieldVisitor& inner) {
        inner.integer(
            "window", config.attention.window, {0, kMaxSequence},
            "width of the local window, the query's own key included, for stages with `attention: window`, for "
            "`lighthouse.window_layers` and for `lighthouse.window_every`; 0: not set");
        section(inner, "lighthouse", config.attention.lighthouse, "Lighthouse Attention, in the stages that use it.");
      },
      "Attention of the layers.");
  section(v, "data", config.data, "Token shards, written by `lighthouse prepare`.");
  section(v, "batch", config.batch, "Batch sizes count sequences.");
  section(v, "memory", config.memory, "Trade-offs between memory and time. A stage may set its own `recompute`.");
  const FieldVisitor::List stages{config.stages.size(),
                                  [&](size_t size) {
                                    config.stages.resize(size);
                                    for (StageSection& stage : config.stages) inherit(stage, config);
                                  },
                                  [&](FieldVisitor& element, size_t i) { visit(config.stages[i], element); }};
  v.list("stages", stages,
         "The stages of training, one after another. A stage inherits the settings that it does not set from the "
         "sections above.");
  section(v, "optimizer", config.optimizer, "The optimizer.");
  section(v, "schedule", config.schedule, "The learning rate over the whole run.");
  section(v, "checkpoint", config.checkpoint, "Checkpoints, from which a run resumes.");
  section(v, "evaluation", config.evaluation, "Validation loss, in the stage's attention and in dense attention.");
  section(v, "train", config.train, "The training loop.");
  section(v, "distributed", config.distributed, "Runs of several ranks, started by mpirun or another launcher.");
  section(v, "hardware", config.hardware, "Properties of the hardware that the program cannot detect.");
}

}  // namespace lighthouse
