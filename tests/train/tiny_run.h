// A run small enough to be made again and again: two stages over a tiny model and two tiny shards.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "eval/shard_files.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/train/trainer.h"
#include "model/tiny_llama.h"

namespace lighthouse {

/// What the sections say for all stages goes into each of them, as in a config that was read from a file.
inline void resolve_stages(RunConfig& config) {
  for (StageSection& stage : config.stages) {
    stage.batch = config.batch;
    stage.data = config.data;
    stage.rope_theta = config.model.rope_theta;
  }
}

/// Five Lighthouse steps, of which the second and the fourth are dense, then four dense ones; 12 windows of 64 tokens,
/// so that the data begins again in the middle; a checkpoint after each third step, validation after each second.
inline RunConfig tiny_run(const TemporaryFolder& folder, const std::string& name = "run") {
  RunConfig config;
  config.run.name = name;
  config.run.directory = (folder / name).string();
  config.model.hidden_size = 16;
  config.model.intermediate_size = 16;
  config.model.num_hidden_layers = 2;
  config.model.num_attention_heads = 2;
  config.model.num_key_value_heads = 1;
  const LighthouseSettings small = lighthouse_pass(1).attention.lighthouse;
  config.attention.lighthouse = small;
  config.attention.lighthouse.dense_layers.assign(1, 0);
  config.data.train = {{(folder / "train.bin").string(), 1}};
  config.data.validation = (folder / "val.bin").string();
  if (!std::filesystem::exists(config.data.validation)) {
    write_shard(config.data.train[0].path, random_tokens(12 * 64 + 1, 257, 1));
    write_shard(config.data.validation, random_tokens(5 * 64 + 1, 257, 2));
  }
  config.batch = {64, 1, 2};
  config.stages.resize(2);
  config.stages[0].name = "pretrain";
  config.stages[0].attention = AttentionKind::kLighthouse;
  config.stages[0].steps = 5;
  config.stages[0].dense_every = 2;
  config.stages[1].name = "recovery";
  config.stages[1].attention = AttentionKind::kDense;
  config.stages[1].steps = 4;
  config.stages[1].learning_rate_factor = 0.5;
  resolve_stages(config);
  config.optimizer.learning_rate = 0.02;
  config.schedule.warmup_steps = 2;
  config.schedule.min_ratio = 0.1;
  config.checkpoint = {3, 100};
  config.evaluation = {2, 3};
  return config;
}

/// Remembers what a run says, and acts when told to.
struct Recorder : TrainingObserver {
  void started(int64_t first_step, int64_t) override {
    first = first_step;
    if (on_start) on_start();
  }
  void step_finished(const StepMetrics& metrics) override {
    steps.push_back(metrics);
    if (on_step) on_step(metrics.step);
  }
  void validated(const ValidationMetrics& metrics) override {
    validations.push_back(metrics);
    if (on_validated) on_validated(metrics.step);
  }
  void note(const std::string& text) override { notes.push_back(text); }
  void warn(const std::string& text) override { warnings.push_back(text); }

  std::function<void()> on_start;
  std::function<void(int64_t)> on_step;
  std::function<void(int64_t)> on_validated;
  int64_t first = -1;
  std::vector<StepMetrics> steps;
  std::vector<ValidationMetrics> validations;
  std::vector<std::string> notes;
  std::vector<std::string> warnings;
};

/// Raises a signal when a step has finished.
inline std::function<void(int64_t)> raise_at(int64_t step, int signal = SIGTERM) {
  return [step, signal](int64_t finished) {
    if (finished == step) std::raise(signal);
  };
}

/// A gradient that is no number at the steps from `first` to `last`, counted from the start of this process's run.
inline TrainingStep::GradientHook broken_gradient(int64_t first, int64_t last) {
  return [first, last, step = int64_t{0}](const Parameters& gradients) mutable {
    ++step;
    if (step >= first && step <= last) gradients.flat.data<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  };
}

inline StartOptions resuming() {
  StartOptions start;
  start.resume = true;
  return start;
}
inline StartOptions resuming_from(int64_t step) {
  StartOptions start;
  start.resume_from = step;
  return start;
}

/// Runs to the end, or to what is thrown.
inline void train(const RunConfig& config, Recorder& recorder, const StartOptions& start = {},
                  const TrainingStep::GradientHook& hook = {}) {
  const auto backend = make_cpu_backend();
  Trainer trainer(config, start, *backend, recorder);
  if (hook) trainer.set_gradient_hook(hook);
  trainer.run();
}
inline void train(const RunConfig& config, const StartOptions& start = {}) {
  Recorder recorder;
  train(config, recorder, start);
}

inline std::filesystem::path in_run(const RunConfig& config, const std::string& name) {
  return std::filesystem::path(config.run.directory) / name;
}
inline std::filesystem::path checkpoint_of(const RunConfig& config, int64_t step) {
  std::string digits = std::to_string(step);
  digits.insert(0, 8 - digits.size(), '0');
  return in_run(config, "checkpoints") / ("step-" + digits);
}

inline std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

/// The lines of metrics.jsonl without what a clock says. Numbers stay as they are written, to the last digit.
inline std::vector<std::string> curve_of(const RunConfig& config) {
  std::vector<std::string> curve;
  for (const std::string& line : lines_of(in_run(config, "metrics.jsonl"))) {
    nlohmann::ordered_json json = nlohmann::ordered_json::parse(line);
    json.erase("seconds");
    json.erase("tokens_per_second");
    json.erase("mfu");
    curve.push_back(json.dump());
  }
  return curve;
}

inline std::vector<int64_t> steps_of(const std::vector<CheckpointEntry>& entries) {
  std::vector<int64_t> steps;
  for (const CheckpointEntry& entry : entries) steps.push_back(entry.step);
  return steps;
}
inline std::vector<int64_t> checkpoints_of(const RunConfig& config) {
  return steps_of(list_checkpoints(in_run(config, "checkpoints")));
}

/// The message that `body` is refused with.
inline std::string refusal(const std::function<void()>& body) {
  try {
    body();
  } catch (const InputError& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

inline void flip_bit(const std::filesystem::path& path, int64_t byte, int bit) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(byte);
  const auto before = static_cast<char>(file.get());
  file.seekp(byte);
  file.put(static_cast<char>(before ^ (1 << bit)));
}

}  // namespace lighthouse
