#include "schema.h"

#include <algorithm>
#include <string>
#include <vector>

namespace lighthouse {
namespace {

// Upper bounds are far above anything sensible; they keep products of sizes inside 64 bits.
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

/// The names of an enum's values, in their order from 0.
using Names = std::vector<std::string>;

template <typename Enum>
void choice(FieldVisitor& visitor, const char* name, Enum& value, const Choices& choices, const char* doc) {
  std::string word = choices.names.at(static_cast<size_t>(value));
  visitor.choice(name, word, choices, doc);
  const auto found = std::find(choices.names.begin(), choices.names.end(), word);
  value = static_cast<Enum>(found - choices.names.begin());
}

/// A floating-point type that optimizer state may have.
void dtype(FieldVisitor& visitor, const char* name, DType& value, const char* doc) {
  std::string word(name_of(value));
  visitor.choice(name, word, {Names{"float32", "bfloat16"}}, doc);
  value = word == name_of(DType::kBFloat16) ? DType::kBFloat16 : DType::kFloat32;
}

constexpr const char* kRecomputeDoc =
    "what backward computes again instead of keeping it: `none`, the outputs of `norms`, also gate and up of the "
    "`mlp`, "
    "or all of a `block` but its input; `auto`: the least that fits into memory";

void recompute(FieldVisitor& visitor, RecomputeChoice& value, const char* doc) {
  choice(visitor, "recompute", value, {Names{"auto", "none", "norms", "mlp", "block"}}, doc);
}

void visit(RunSection& run, FieldVisitor& v) {
  v.text("name", run.name, TextRule::kNotEmpty, "the run's name; it becomes a folder's, so it has no \"/\"");
  v.path("directory", run.directory, TextRule::kAny, "where the run keeps its files; `runs/<name>` if not set");
  v.integer("seed", run.seed, {0}, "of initial weights and of the order of the data");
  choice(v, "device", run.device, {Names{"auto", "cpu", "cuda"}}, "`auto`: a GPU if there is one");
  choice(
      v, "dtype", run.dtype, {Names{"auto", "float32", "bfloat16"}},
      "of activations and of the weights that they meet; `auto`: bfloat16 on a GPU, float32 on the CPU, which has no "
      "other. Master weights are float32");
  v.boolean("deterministic", run.deterministic,
            "on a GPU: attention's backward gives the same bits on every run too, as all else always does");
  v.path("init_from", run.init_from, TextRule::kAny, "a checkpoint: start from its weights");
  v.path("branch_from", run.branch_from, TextRule::kAny,
         "a checkpoint: continue its whole state (optimizer, data position, step) in this run's directory");
}

void visit(RopeScaling& scaling, FieldVisitor& v) {
  choice(v, "type", scaling.kind, {Names{"none", "linear", "llama3"}},
         "`linear`: all wavelengths grow by `factor`; `llama3`: the long ones do");
  v.real("factor", scaling.factor, {1, 1e6}, "by which wavelengths grow");
  v.real("low_freq_factor", scaling.low_freq_factor, kPositive,
         "`llama3`: wavelengths longer than the original length divided by this grow in full");
  v.real("high_freq_factor", scaling.high_freq_factor, kPositive, "`llama3`: those shorter than it by this stay");
  v.integer("original_max_position_embeddings", scaling.original_max_position_embeddings, {1, kMaxSequence},
            "`llama3`: the length of the original training");
}

void visit(ModelConfig& model, FieldVisitor& v) {
  v.preset(
      "preset", {model_preset_names()}, [&](const std::string& name) { model = model_preset(name).value(); },
      "a model by name; the other keys change it. `--set model.preset=NAME` replaces the whole section");
  v.path(
      "tokenizer", model.tokenizer, TextRule::kNotEmpty,
      "`bytes`: a token a byte, and 256 for end of text; or a SentencePiece model (`....model`), a Hugging Face folder "
      "or its `tokenizer.json`");
  v.integer("vocab_size", model.vocab_size, {1, kMaxVocabulary}, "at least the tokenizer's vocabulary");
  v.integer("unused_tokens", model.unused_tokens, {0, kMaxVocabulary},
            "rows at the vocabulary's end that stand for no token: no part of loss and sampling");
  v.integer("hidden_size", model.hidden_size, {1, kMaxWidth}, "C, width of the residual stream");
  v.integer("intermediate_size", model.intermediate_size, {1, kMaxWidth}, "F, width inside the feed-forward part");
  v.integer("num_hidden_layers", model.num_hidden_layers, {1, kMaxLayers}, "transformer layers");
  v.integer("num_attention_heads", model.num_attention_heads, {1, kMaxWidth}, "H, query heads");
  v.integer("num_key_value_heads", model.num_key_value_heads, {1, kMaxWidth}, "key/value heads; a divisor of H");
  v.integer("head_dim", model.explicit_head_dim, {0, kMaxWidth},
            "size of a head, a multiple of 8; 0: hidden_size / num_attention_heads");
  v.real("rope_theta", model.rope_theta, {1, 1e12}, "base of the rotary embedding's wavelengths");
  v.section(
      "rope_scaling", [&](FieldVisitor& f) { visit(model.rope_scaling, f); },
      "how a model of shorter sequences is stretched to longer ones");
  v.real("rms_norm_eps", model.rms_norm_eps, {0, 1, true, false}, "epsilon of RMSNorm");
  v.real("initializer_range", model.initializer_range, {0, 100}, "standard deviation of initial weights");
  v.boolean("tie_word_embeddings", model.tie_word_embeddings, "one matrix for embedding and output");
  v.integer(
      "sliding_window", model.sliding_window, {0, kMaxSequence},
      "a window of the model's own, as Mistral has it: a layer's queries see so many keys, their own included, in "
      "every stage and in generation; 0: all keys");
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
         "what entries are ranked by: norms of q and k (fastest), or dilated attention");
  v.integer("dilation", lighthouse.dilation, {1, kMaxSequence},
            "interleaved streams of the `dilated` scorer; divides the sequence length");
  v.boolean("cover_prefix", lighthouse.cover_prefix,
            "the first positions, which no pooled entry reaches, attend to what precedes them");
  v.integers("dense_layers", lighthouse.dense_layers, {-kMaxLayers, kMaxLayers - 1},
             "layers that stay dense in Lighthouse steps; negative numbers count from the end");
  v.integer("window", lighthouse.window, {0, kMaxSequence},
            "width of the local window beside each Lighthouse layer, whose output is the mean of both; 0: no window");
  v.integers("window_layers", lighthouse.window_layers, {-kMaxLayers, kMaxLayers - 1},
             "layers that attend in a window alone (`attention.window`) in Lighthouse steps");
  v.integer("window_every", lighthouse.window_every, {0, kMaxLayers},
            "n: layers 0, n, 2n, ... attend in a window alone as well, unless `dense_layers` has them; 0: no others");
}

void visit(DataSource& source, FieldVisitor& v) {
  v.path("path", source.path, TextRule::kNotEmpty, "token shards, a file or a pattern like `data/train-*.bin`");
  v.real("weight", source.weight, kPositive, "how often sequences are drawn from here, relative to the other sources");
}

void visit(DataSection& data, FieldVisitor& v) {
  const FieldVisitor::List sources{data.train.size(), [&](size_t size) { data.train.assign(size, DataSource{}); },
                                   [&](FieldVisitor& element, size_t i) { visit(data.train[i], element); }, "path"};
  v.list("train", sources, "token shards to train on: a pattern, or a list of patterns or of maps");
  v.path("validation", data.validation, TextRule::kAny, "token shards to validate on, by pattern; none if empty");
  choice(v, "document_mask", data.document_mask, {Names{"none", "attention"}},
         "`attention`: a token attends to its own document alone, back to the end of text before it. In dense "
         "stages; on a GPU in bfloat16 not with run.deterministic. "
         "Plan and utilisation count attention over the whole sequence all the same");
}

void visit(BatchSection& batch, FieldVisitor& v) {
  v.integer("sequence_length", batch.sequence_length, {1, kMaxSequence}, "N, tokens of a sequence");
  v.integer("micro_batch_size", batch.micro_batch_size, {1, kMaxBatch}, "sequences in one pass through the model");
  v.integer("global_batch_size", batch.global_batch_size, {1, kMaxBatch},
            "sequences in one step; a multiple of micro_batch_size");
}

/// What a stage does not set it takes from the sections above it.
void inherit(StageSection& stage, const RunConfig& config) {
  stage = StageSection{};
  stage.rope_theta = config.model.rope_theta;
  stage.recompute = config.memory.recompute;
  stage.batch = config.batch;
  stage.data = config.data;
}

void visit(StageSection& stage, FieldVisitor& v) {
  v.text("name", stage.name, TextRule::kAny, "appears in metrics; attention and number if not set: `lighthouse-0`");
  choice(v, "attention", stage.attention, {Names{"dense", "window", "lighthouse"}}, "how the stage's steps attend");
  v.integer("steps", stage.steps, {1, kMaxSteps}, "optimizer steps of this stage");
  v.real("learning_rate_factor", stage.learning_rate_factor, {0, 1e6},
         "the schedule's learning rate is multiplied by it; may also be written `learning_rate`");
  // Not below 0.01: that would be a learning rate, not a factor.
  v.also_called("learning_rate", "learning_rate_factor", stage.learning_rate_factor, {0.01, 1e6});
  v.integer("dense_every", stage.dense_every, {0, kMaxSteps},
            "in a window or Lighthouse stage every n-th step is dense, n at least 2; 0: none is");
  v.real("rope_theta", stage.rope_theta, {1, 1e12}, "instead of the model's");
  recompute(v, stage.recompute, "instead of [memory](#memory)'s");
  v.section(
      "batch", [&](FieldVisitor& f) { visit(stage.batch, f); }, "keys that replace those of [batch](#batch)");
  v.section(
      "data", [&](FieldVisitor& f) { visit(stage.data, f); }, "keys that replace those of [data](#data)");
}

void visit(OptimizerSection& optimizer, FieldVisitor& v) {
  v.choice("name", optimizer.name, {Names{"adamw"}}, "AdamW, with decoupled weight decay");
  v.real("learning_rate", optimizer.learning_rate, kPositive, "its peak, after the warm-up");
  v.real("beta1", optimizer.beta1, kBelowOne, "decay of the mean of gradients");
  v.real("beta2", optimizer.beta2, kBelowOne, "decay of the mean of squared gradients");
  v.real("epsilon", optimizer.epsilon, {0, 1, true, false}, "added to the root of the latter");
  v.real("weight_decay", optimizer.weight_decay, {0, 1e6}, "of tensors of two dimensions, times the learning rate");
  v.real("clip_grad_norm", optimizer.clip_grad_norm, {0, 1e9}, "largest norm of the gradient; 0: no clipping");
  dtype(v, "state_dtype", optimizer.state_dtype, "of both means; `bfloat16` halves their memory");
}

void visit(ScheduleSection& schedule, FieldVisitor& v) {
  v.integer("warmup_steps", schedule.warmup_steps, {0, kMaxSteps}, "steps over which the learning rate rises");
  choice(v, "decay", schedule.decay, {Names{"constant", "linear", "cosine"}}, "how it falls at the end of the run");
  v.integer("decay_steps", schedule.decay_steps, {0, kMaxSteps},
            "the last steps of the run, over which it falls, but not before the warm-up ends; 0: all that follow it");
  v.real("min_ratio", schedule.min_ratio, kFraction, "what it falls to, as a part of its peak");
}

void visit(CheckpointSection& checkpoint, FieldVisitor& v) {
  v.integer("every", checkpoint.every, {0, kMaxSteps}, "steps between checkpoints; 0: only at the end of a stage");
  v.integer("keep", checkpoint.keep, {1, kMaxSteps}, "newest ones kept; the one at the end of a stage always is");
}

void visit(EvaluationSection& evaluation, FieldVisitor& v) {
  v.integer("every", evaluation.every, {0, kMaxSteps}, "steps between validations; 0: only at the end of a stage");
  v.integer("batches", evaluation.batches, {1, kMaxBatches}, "micro-batches of the validation data");
}

void visit(TrainSection& train, FieldVisitor& v) {
  v.integer("max_skipped_steps", train.max_skipped_steps, {1, kMaxSteps},
            "the run stops after so many steps in a row were skipped because loss or gradient was not finite");
}

void visit(MemorySection& memory, FieldVisitor& v) {
  recompute(v, memory.recompute, kRecomputeDoc);
  v.real("attention_workspace", memory.attention_workspace, {0, 1e6},
         "GiB that attention's backward may take when `run.deterministic`: where it would take more, it goes over the "
         "queries in chunks");
  v.real("logits", memory.logits, {0, 1e6},
         "GiB of logits that are in memory at a time; 0: 2 on a GPU, 1/16 on the CPU. With more, the output layer's "
         "gradient is added to less often, which is a little faster");
}

void visit(DistributedSection& distributed, FieldVisitor& v) {
  choice(v, "backend", distributed.backend, {Names{"auto", "nccl", "mpi"}},
         "what carries tensors between ranks; `auto`: NCCL where each rank has a GPU of its own, else MPI");
  v.boolean("shard_optimizer", distributed.shard_optimizer,
            "ZeRO stage 1: each rank keeps and updates its share of master weights and moments");
  v.real("bucket", distributed.bucket, {0.001, 1024}, "MiB of gradients that are summed together");
  v.real("timeout_seconds", distributed.timeout_seconds, {0.2, 1e6},
         "a rank that is not heard of for so long is gone, and the others stop");
  v.real("stall_seconds", distributed.stall_seconds, {1, 1e9},
         "how long ranks wait for others that live and do not come");
}

void visit(HardwareSection& hardware, FieldVisitor& v) {
  v.real("peak_tflops", hardware.peak_tflops, {0, 1e12},
         "of the device, for utilisation and the plan's step time; 0: what is known of it");
  v.real("memory", hardware.memory, {0, 1e9}, "GiB that a run may take on the device; 0: what is free on it");
  v.real("bandwidth", hardware.bandwidth, {0, 1e9},
         "of the device's memory in TB/s, for the plan's step time; 0: what is known of it");
  v.integer("ranks_per_host", hardware.ranks_per_host, {1, 1 << 20}, "for the plan of many ranks, as what follows");
  v.real("link_bandwidth", hardware.link_bandwidth, kPositive,
         "GB/s that a rank reaches to others of its host, each way (NVLink)");
  v.real("link_latency", hardware.link_latency, {0, 1e9}, "microseconds of a message between ranks of a host");
  v.real("network_bandwidth", hardware.network_bandwidth, kPositive,
         "GB/s that a rank reaches to other hosts, each way, when all ranks send");
  v.real("network_latency", hardware.network_latency, {0, 1e9}, "microseconds of a message between hosts");
}

template <typename Section>
void section(FieldVisitor& v, const char* name, Section& fields, const char* doc) {
  v.section(
      name, [&](FieldVisitor& inner) { visit(fields, inner); }, doc);
}

}  // namespace

void visit_fields(RunConfig& config, FieldVisitor& v) {
  section(v, "run", config.run, "The run as a whole.");
  section(v, "model", config.model, "The Llama, under Hugging Face's names.");
  v.section(
      "attention",
      [&](FieldVisitor& inner) {
        inner.integer(
            "window", config.attention.window, {0, kMaxSequence},
            "width of layers that attend in a local window alone: the query's own key and those before it. For "
            "stages with `attention: window`, for `lighthouse.window_layers` and for `lighthouse.window_every`; 0: not "
            "set");
        section(inner, "lighthouse", config.attention.lighthouse, "Lighthouse Attention, for the stages that use it.");
      },
      "How layers attend.");
  section(v, "data", config.data, "Token shards, as `lighthouse prepare` writes them.");
  section(v, "batch", config.batch, "Batch sizes count sequences.");
  section(v, "memory", config.memory, "What is kept and what is computed again. A stage may have its own `recompute`.");
  const FieldVisitor::List stages{config.stages.size(),
                                  [&](size_t size) {
                                    config.stages.resize(size);
                                    for (StageSection& stage : config.stages) inherit(stage, config);
                                  },
                                  [&](FieldVisitor& element, size_t i) { visit(config.stages[i], element); }};
  v.list("stages", stages,
         "What is trained, one stage after another. A stage takes from the sections above what it does not set.");
  section(v, "optimizer", config.optimizer, "How weights follow gradients.");
  section(v, "schedule", config.schedule, "The learning rate over the whole run.");
  section(v, "checkpoint", config.checkpoint, "What a run can be resumed from.");
  section(v, "evaluation", config.evaluation, "Validation loss, in the stage's attention and in dense attention.");
  section(v, "train", config.train, "The loop.");
  section(v, "distributed", config.distributed, "Many processes, under mpirun or another launcher.");
  section(v, "hardware", config.hardware, "What the program cannot find out by itself.");
}

}  // namespace lighthouse
