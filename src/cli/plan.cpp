// lighthouse plan: memory, operations and time of a run, from its config alone.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "commands.h"
#include "lighthouse/config/load.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/model/cost.h"
#include "lighthouse/train/run_memory.h"
#include "timing.h"

namespace lighthouse {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> settings;
};

/// What a step's time is reckoned from: a rate, and the share of it that training is taken to reach.
struct Speed {
  double flops;  // per second
  double share;
  std::string origin;
};

Speed speed_of(const RunConfig& config, Backend& backend) {
  constexpr double kH100 = 989e12;  // bfloat16, dense, by its data sheet
  if (config.hardware.peak_tflops > 0) return {config.hardware.peak_tflops * 1e12, 0.4, "hardware.peak_tflops"};
  if (config.run.device == DeviceChoice::kCuda) return {kH100, 0.4, "an H100's bfloat16 peak"};
  return {product_flops(backend, 2048), 0.5, "this machine's matrix product, timed just now"};
}

void print_memory(const RunConfig& config, Backend& backend) {
  Arena arena;
  RunMemory memory(config, backend);
  memory.lay_out(arena);
  TextTable table({"memory", "bytes"});
  for (MemoryUse use : {MemoryUse::kWeights, MemoryUse::kGradients, MemoryUse::kOptimizer}) {
    table.add_row({std::string(name_of(use)), format_bytes(arena.used(use))});
  }
  fmt::print("{}\n", table.str());

  TextTable passes({"pass", "kept activations", "scratch", "batch", "in all, with weights"});
  for (const Pass& pass : memory.passes()) {
    passes.add_row({pass.name, format_bytes(pass.activations), format_bytes(pass.scratch), format_bytes(pass.batch),
                    format_bytes(memory.persistent_bytes() + pass.activations + pass.scratch + pass.batch)});
  }
  fmt::print("{}\nThe run takes {}, one allocation; passes share memory. A checkpoint takes {} on disk.\n\n",
             passes.str(), format_bytes(arena.used()),
             format_bytes(3 * size_of(DType::kFloat32) * parameter_count(config.model)));
}

double seconds_of_step(const RunConfig& config, const StageSection& stage, AttentionKind kind, const Speed& speed) {
  const double flops = training_flops_per_token(config.model, config.lighthouse, kind, stage.batch.sequence_length);
  return flops * static_cast<double>(stage.batch.tokens_per_step()) / (speed.flops * speed.share);
}

void add_steps(TextTable& table, const RunConfig& config, const StageSection& stage, AttentionKind kind,
               const std::string& name, const Speed& speed) {
  const double flops = training_flops_per_token(config.model, config.lighthouse, kind, stage.batch.sequence_length);
  table.add_row({name, std::string(name_of(kind)), format_count(stage.batch.tokens_per_step()), format_si(flops),
                 format_si(flops * static_cast<double>(stage.batch.tokens_per_step())),
                 format_seconds(seconds_of_step(config, stage, kind, speed))});
}

double seconds_of_run(const RunConfig& config, const Speed& speed) {
  double seconds = 0;
  for (const StageSection& stage : config.stages) {
    const int64_t dense = stage.dense_every > 0 ? stage.steps / stage.dense_every : 0;
    seconds += static_cast<double>(dense) * seconds_of_step(config, stage, AttentionKind::kDense, speed) +
               static_cast<double>(stage.steps - dense) * seconds_of_step(config, stage, stage.attention, speed);
  }
  return seconds;
}

void print_operations(const RunConfig& config, Backend& backend) {
  const Speed speed = speed_of(config, backend);
  TextTable table({"steps of", "attention", "tokens/step", "operations/token", "operations/step", "time/step"});
  for (const StageSection& stage : config.stages) {
    add_steps(table, config, stage, stage.attention, stage.name, speed);
    if (stage.dense_every > 0) {
      add_steps(table, config, stage, AttentionKind::kDense, stage.name + ", dense steps", speed);
    }
  }
  fmt::print("{}\nTime: at {:.0f}% (an assumption) of {}, {}FLOP/s; the whole run about {}.\n", table.str(),
             100 * speed.share, speed.origin, format_si(speed.flops), format_seconds(seconds_of_run(config, speed)));
}

void plan(const Options& options) {
  const RunConfig config = load_config(options.config, options.settings);
  // The layout of float32 on the CPU, whatever the device: the only backend there is.
  const auto backend = make_cpu_backend();
  int64_t tokens = 0;
  for (const StageSection& stage : config.stages) tokens += stage.steps * stage.batch.tokens_per_step();
  fmt::print("{}: {} parameters, {} steps, {} tokens\n\n", config.run.name, format_count(parameter_count(config.model)),
             format_count(config.total_steps()), format_count(tokens));
  print_memory(config, *backend);
  print_operations(config, *backend);
  if (config.run.device == DeviceChoice::kCuda) {
    fmt::print("\nrun.device is cuda: memory is that of the CPU backend in float32, the only one there is so far.\n");
    return;
  }
  try {
    check_memory(config, *backend, available_bytes(config, *backend));
    fmt::print("\nIt fits: this machine has {} of memory.\n", format_bytes(available_bytes(config, *backend)));
  } catch (const InputError& error) {
    fmt::print("\nIt does not fit: {}\n", error.what());
  }
}

}  // namespace

void add_plan_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("plan", "Show memory, operations and time of a run; run nothing");
  auto options = std::make_shared<Options>();
  add_config_options(*command, options->config, options->settings);
  command->callback([options] { plan(*options); });
}

}  // namespace lighthouse
