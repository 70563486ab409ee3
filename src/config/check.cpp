#include "check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/tokenizer.h"

namespace lighthouse {
namespace {

// Limits above any sensible size, below which sizes can be multiplied in 64 bits.
constexpr double kMaxTokens = 1e18;
constexpr double kMaxBytes = 1e18;

class Checker {
 public:
  Checker(const RunConfig& config, const ConfigNode& root, bool saved) : config_(config), root_(root), saved_(saved) {}

  void run() const {
    check_run();
    check_model();
    if (config_.stages.empty()) refuse("stages", "stages is empty; expected at least one stage");
    check_batch(config_.batch, "batch");
    for (size_t i = 0; i < config_.stages.size(); ++i) check_stage(i);
    check_names();
    check_tokens();
    check_schedule();
  }

 private:
  [[noreturn]] void refuse(const std::string& path, const std::string& message) const {
    const std::string& where = root_.where_of(path);
    throw InputError(where.empty() ? message : where + ": " + message);
  }

  /// Runs a check of another module and adds the position to its message.
  template <typename Check>
  void located(const std::string& path, const std::string& subject, const Check& check) const {
    try {
      check();
    } catch (const InputError& error) {
      refuse(path, subject + ": " + error.what());
    }
  }

  void check_run() const {
    const RunSection& run = config_.run;
    if (run.name.find('/') != std::string::npos || run.name == "." || run.name == "..") {
      refuse("run.name", fmt::format("run.name is \"{}\"; expected the name of a folder, without \"/\"", run.name));
    }
    if (run.name.starts_with('~') || run.name.find('$') != std::string::npos) {
      refuse("run.name", fmt::format("run.name is \"{}\"; expected a name without \"$\" and without \"~\" at its "
                                     "start, which paths expand",
                                     run.name));
    }
    if (!run.init_from.empty() && !run.branch_from.empty()) {
      refuse("run.branch_from",
             "run.init_from and run.branch_from are mutually exclusive: init_from starts a new run from a checkpoint's "
             "weights, branch_from continues its whole state; remove one");
    }
  }

  void check_model() const {
    const ModelConfig& model = config_.model;
    located("model", "model", [&] { model.check(); });
    if (saved_ && tokenizer_is_a_file(model.tokenizer)) return;  // load_tokenizer checks it later
    int64_t least = 0;
    located("model.tokenizer", "model.tokenizer", [&] { least = make_tokenizer(model.tokenizer)->vocab_size(); });
    if (model.token_count() >= least) return;
    refuse("model.vocab_size",
           fmt::format("model.vocab_size is {}{}; expected at least {}, the number of tokens of the tokenizer \"{}\"",
                       model.vocab_size,
                       model.unused_tokens > 0 ? fmt::format(", of which {} are unused", model.unused_tokens) : "",
                       least, model.tokenizer));
  }

  void check_batch(const BatchSection& batch, const std::string& path) const {
    const int64_t micro = batch.micro_batch_size;
    const int64_t global = batch.global_batch_size;
    if (global % micro == 0) return;
    const int64_t below = global / micro * micro;
    refuse(path + ".global_batch_size",
           fmt::format(
               "{}.global_batch_size is {}, not a multiple of micro_batch_size ({}); the nearest multiple is {}", path,
               global, micro, below == 0 ? fmt::format("{}", micro) : fmt::format("{} or {}", below, below + micro)));
  }

  void check_stage(size_t index) const {
    const StageSection& stage = config_.stages[index];
    const std::string path = fmt::format("stages.{}", index);
    check_batch(stage.batch, path + ".batch");
    check_size(stage, path);
    if (stage.attention == AttentionKind::kDense) {
      if (stage.dense_every != 0) {
        refuse(path + ".dense_every",
               fmt::format("{}.dense_every is {}, but all steps of the stage are dense; dense_every applies to "
                           "stages with attention: lighthouse or window",
                           path, stage.dense_every));
      }
      return;
    }
    if (stage.dense_every == 1) {
      refuse(path + ".dense_every",
             fmt::format("{}.dense_every is 1, which makes every step dense; expected at least 2, or 0 for no dense "
                         "steps; or attention: dense",
                         path));
    }
    if (stage.attention == AttentionKind::kLighthouse && stage.data.document_mask != DocumentMask::kNone) {
      refuse(path + ".data.document_mask",
             fmt::format(
                 "{}.data.document_mask is attention, but a Lighthouse stage pools across documents; the mask applies "
                 "to stages with attention: dense or window",
                 path));
    }
    check_attention(stage, path);
  }

  void check_attention(const StageSection& stage, const std::string& path) const {
    const bool lighthouse = stage.attention == AttentionKind::kLighthouse;
    const std::string section = lighthouse ? "attention.lighthouse" : "attention";
    const std::string subject = fmt::format("{} in stage \"{}\" ({}, sequence_length {})", section, stage.name, path,
                                            stage.batch.sequence_length);
    located(section, subject, [&] {
      config_.attention.check(stage.attention, stage.batch.sequence_length, config_.model.num_hidden_layers);
    });
    const auto layers = attention_of_layers(stage.attention, config_.attention, config_.model);
    const auto follows_the_stage = [&](const LayerAttention& layer) { return layer.kind == stage.attention; };
    if (lighthouse && std::none_of(layers.begin(), layers.end(), follows_the_stage)) {
      refuse(
          "model.sliding_window",
          fmt::format("{}: every layer that would use Lighthouse has the model's own window, model.sliding_window {}, "
                      "which applies in all stages; give the stage attention: dense, or set sliding_window to 0",
                      subject, config_.model.sliding_window));
    }
  }

  /// A rough estimate in floating point. Sizes below the limit can be computed exactly in 64 bits.
  void check_size(const StageSection& stage, const std::string& path) const {
    const ModelConfig& model = config_.model;
    const auto tokens =
        static_cast<double>(stage.batch.micro_batch_size) * static_cast<double>(stage.batch.sequence_length);
    const auto width = static_cast<double>(8 * model.hidden_size + 4 * model.intermediate_size + model.qkv_size());
    const auto layers = static_cast<double>(model.num_hidden_layers);
    const double weights = layers * width * static_cast<double>(model.hidden_size) +
                           2 * static_cast<double>(model.padded_vocab_size()) * static_cast<double>(model.hidden_size);
    const double bytes = 16 * (tokens * width * layers + weights);
    if (bytes < kMaxBytes) return;
    refuse(path + ".batch",
           fmt::format("{}: this model with {} sequences of {} tokens in a pass would need about {}B of "
                       "memory; expected at most {}B",
                       path, stage.batch.micro_batch_size, stage.batch.sequence_length, format_si(bytes),
                       format_si(kMaxBytes)));
  }

  void check_names() const {
    std::set<std::string> names;
    for (size_t i = 0; i < config_.stages.size(); ++i) {
      const std::string path = fmt::format("stages.{}.name", i);
      if (names.insert(config_.stages[i].name).second) continue;
      refuse(path, fmt::format("{} is \"{}\", which is another stage's name; expected a unique name", path,
                               config_.stages[i].name));
    }
  }

  void check_tokens() const {
    double tokens = 0;
    for (const StageSection& stage : config_.stages) {
      tokens += static_cast<double>(stage.steps) * static_cast<double>(stage.batch.tokens_per_step());
    }
    if (tokens < kMaxTokens) return;
    refuse("stages", fmt::format("the stages train on {} tokens in all; expected at most {}", format_si(tokens),
                                 format_si(kMaxTokens)));
  }

  void check_schedule() const {
    const ScheduleSection& schedule = config_.schedule;
    const int64_t steps = config_.total_steps();
    if (schedule.warmup_steps > steps) {
      refuse("schedule.warmup_steps", fmt::format("schedule.warmup_steps is {}, but the run has {} steps; expected at "
                                                  "most the number of steps",
                                                  schedule.warmup_steps, steps));
    }
  }

  const RunConfig& config_;
  const ConfigNode& root_;
  bool saved_;
};

}  // namespace

void check_config(const RunConfig& config, const ConfigNode& root, bool saved) {
  Checker(config, root, saved).run();
}

}  // namespace lighthouse
