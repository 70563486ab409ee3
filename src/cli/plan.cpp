// lighthouse plan: memory, operations and time of a run, from its config alone.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <utility>

#include "commands.h"
#include "lighthouse/config/load.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/batch.h"
#include "lighthouse/kernels/planning.h"
#include "lighthouse/model/cost.h"
#include "lighthouse/ops/gpu_sheets.h"
#include "lighthouse/train/checkpoint_writer.h"
#include "lighthouse/train/data_parallel.h"
#include "lighthouse/train/data_use.h"
#include "lighthouse/train/memory_plan.h"
#include "lighthouse/train/model_tokenizer.h"
#include "lighthouse/train/scaling.h"
#include "lighthouse/train/step_cost.h"
#include "rates.h"

namespace lighthouse {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> settings;
  std::string gpu;  // by name; empty: this machine's
  int ranks = 1;
  double step_seconds = 0;  // 0: not measured
};

/// The device to plan for.
struct Target {
  std::unique_ptr<Backend> backend;  // runs nothing: its operations are counted
  Rates rates;
  std::string device, why;  // name, and why this device
  std::string rates_from;
};

/// The GPU to plan for, and why: the one named, else this machine's, else an H100.
std::pair<Hardware, std::string> planned_gpu(const RunConfig& config, const std::string& name, DType dtype) {
  if (!name.empty()) return {gpu_by_name(name, dtype), "as --gpu says"};
  if (const auto here = local_gpu(config)) return {*here, "this machine's; --gpu NAME plans for another"};
  return {gpu_by_name("H100", dtype), "this machine has no GPU; --gpu NAME plans for another"};
}

/// Applies the config's rates. Throws InputError if a rate is unknown.
Hardware with_settings(Hardware hardware, const HardwareSection& section) {
  hardware = with_configured_rates(hardware, section);
  if (hardware.flops > 0 && hardware.bytes_per_second > 0) return hardware;
  throw InputError(
      fmt::format("the rates of {} are unknown; set hardware.peak_tflops and hardware.bandwidth", hardware.name));
}

Target gpu_target(const RunConfig& config, const std::string& name) {
  CudaOptions options;
  options.dtype = config.run.dtype == DTypeChoice::kFloat32 ? DType::kFloat32 : DType::kBFloat16;
  options.deterministic = config.run.deterministic;
  options.attention_workspace = config.memory.attention_workspace_bytes();
  const auto [gpu, why] = planned_gpu(config, name, options.dtype);
  const Hardware hardware = with_settings(gpu, config.hardware);
  const bool given = config.hardware.peak_tflops > 0 || config.hardware.bandwidth > 0;
  return {make_planned_cuda_backend(options, hardware), planned_rates(hardware), gpu.name, fmt::format(" ({})", why),
          fmt::format("the rates that training reaches of {}FLOP/s and {}B/s ({}{})", format_si(hardware.flops),
                      format_si(hardware.bytes_per_second), gpu.name, given ? ", with the values of hardware.*" : "")};
}

Target cpu_target(const RunConfig& config) {
  auto cpu = make_cpu_backend();
  Rates rates = host_rates(*cpu);
  std::string from = "this machine's matrix product and copy, measured now";
  if (config.hardware.peak_tflops > 0) {
    rates.product_flops = rates.attention_forward_flops = rates.attention_backward_flops =
        1e12 * config.hardware.peak_tflops;
    from = "hardware.peak_tflops";
  }
  return {std::move(cpu), rates, "the CPU", "", from};
}

void print_memory(const RunConfig& config, Backend& backend, const Mesh& mesh) {
  Arena arena;
  RunMemory memory(config, backend, mesh);
  memory.lay_out(arena);
  TextTable table({mesh.size() > 1 ? "memory of each rank" : "memory", "bytes"});
  for (MemoryUse use : {MemoryUse::kWeights, MemoryUse::kGradients, MemoryUse::kOptimizer}) {
    table.add_row({std::string(name_of(use)), format_bytes(arena.used(use))});
  }
  fmt::print("{}\n", table.str());

  TextTable passes({"pass", "recompute", "kept activations", "scratch", "batch", "total with weights"});
  for (const Pass& pass : memory.passes()) {
    passes.add_row({pass.name, pass.settings.backward ? std::string(name_of(pass.settings.recompute)) : "",
                    format_bytes(pass.activations), format_bytes(pass.scratch), format_bytes(pass.batch),
                    format_bytes(memory.persistent_bytes() + pass.activations + pass.scratch + pass.batch)});
  }
  fmt::print("{}\nThe run allocates {} at once; passes share memory. A checkpoint takes {} on disk.\n", passes.str(),
             format_bytes(arena.used()), format_bytes(checkpoint_bytes(memory.optimizer(), config.model)));
  const int64_t pinned =
      CheckpointWriter::pinned_bytes(config, backend, mesh) + BatchFeed::device_bytes(backend, memory.largest_batch());
  if (pinned > 0)
    fmt::print("It pins {} of host memory for a checkpoint and batches in transit{}.\n", format_bytes(pinned),
               mesh.size() > 1 ? " (on rank 0; other ranks pin no weights)" : "");
  fmt::print("\n");
}

/// The steps of one kind in a stage.
struct StepPlan {
  std::string name;
  int64_t stage;
  AttentionKind attention;
  int64_t steps;
};

std::vector<StepPlan> steps_of(const RunConfig& config) {
  std::vector<StepPlan> plans;
  for (size_t i = 0; i < config.stages.size(); ++i) {
    const StageSection& stage = config.stages[i];
    const int64_t dense = stage.dense_every > 0 ? stage.steps / stage.dense_every : 0;
    plans.push_back({stage.name, static_cast<int64_t>(i), stage.attention, stage.steps - dense});
    if (dense > 0) {
      plans.push_back({stage.name + ", dense steps", static_cast<int64_t>(i), AttentionKind::kDense, dense});
    }
  }
  return plans;
}

void print_operations(const RunConfig& config, Target& target) {
  TextTable table({"steps of", "attention", "tokens/step", "operations/token", "operations/step", "time/step"});
  double total = 0;
  for (const StepPlan& plan : steps_of(config)) {
    const BatchSection& batch = config.stages[static_cast<size_t>(plan.stage)].batch;
    const double flops =
        training_flops_per_token(config.model, config.attention, plan.attention, batch.sequence_length);
    const double seconds =
        roofline_seconds(step_costs(config, plan.stage, plan.attention, *target.backend, target.rates));
    total += seconds * static_cast<double>(plan.steps);
    table.add_row({plan.name, std::string(name_of(plan.attention)), format_count(batch.tokens_per_step()),
                   format_si(flops), format_si(flops * static_cast<double>(batch.tokens_per_step())),
                   format_seconds(seconds)});
  }
  fmt::print("{}\nTime: each operation's arithmetic or traffic at {}; about {} for the whole run.\n", table.str(),
             target.rates_from, format_seconds(total));
}

/// Prints the scaling of each kind of step to many ranks (docs/distributed.md has the formula).
void print_ranks(const RunConfig& config, Target& target, const Options& options) {
  TextTable table({"steps of", "micro-batches per rank", "compute", "sent per rank", "communication", "not hidden",
                   "time/step", "tokens/s", "of linear"});
  for (const StepPlan& plan : steps_of(config)) {
    const ScalingPlan scaling = plan_scaling(config, plan.stage, plan.attention, *target.backend, target.rates,
                                             options.ranks, options.step_seconds);
    table.add_row({plan.name, std::to_string(scaling.micro_batches), format_seconds(scaling.compute_seconds),
                   format_bytes(scaling.bytes_sent), format_seconds(scaling.communication_seconds),
                   format_seconds(scaling.exposed_seconds), format_seconds(scaling.step_seconds),
                   format_count(static_cast<int64_t>(scaling.tokens_per_second)),
                   fmt::format("{:.1f}%", 100 * scaling.efficiency)});
  }
  fmt::print("\n{}\n{} ranks, {} per host; {} GB/s within a host, {} GB/s between hosts (hardware.*); compute {}.\n",
             table.str(), options.ranks, config.hardware.ranks_per_host, config.hardware.link_bandwidth,
             config.hardware.network_bandwidth,
             options.step_seconds > 0 ? "as measured (--step-seconds)" : "as planned for one rank");
}

/// Prints the use of the data. Missing data is not an error in a plan.
void print_data(const RunConfig& config) {
  fmt::print("\n");
  try {
    TextTable table({"stage", "data", "files", "too short", "tokens", "in no window", "windows", "passes"});
    bool wastes = false;
    for (const SourceUse& source : data_use(config)) {
      wastes |= source.wastes();
      table.add_row({source.stage, source.pattern, format_count(source.use.files),
                     format_count(source.use.unused_files), format_count(source.use.tokens),
                     format_count(source.use.unused_tokens), format_count(source.use.windows),
                     source.passes > 0 ? fmt::format("{:.2f}", source.passes) : "validation"});
    }
    fmt::print("{}\n", table.str());
    if (wastes) fmt::print("More than a tenth of the tokens of a source is in no window; see docs/formats.md, Data.\n");
    check_overlaps(config);
  } catch (const InputError& error) {
    fmt::print("The run cannot start without its data: {}\n", error.what());
  }
}

void plan(const Options& options) {
  RunConfig config = load_config(options.config, options.settings);
  if (!options.gpu.empty()) config.run.device = DeviceChoice::kCuda;
  config = with_document_ends(with_device(config));
  const Mesh mesh(0, options.ranks);
  for (const StageSection& stage : config.stages) check_batch_split(stage, mesh);
  const bool gpu = config.run.device == DeviceChoice::kCuda;
  Target target = gpu ? gpu_target(config, options.gpu) : cpu_target(config);
  const int64_t available = available_bytes(config, *target.backend);
  config = with_recompute(config, *target.backend, available, mesh);
  int64_t tokens = 0;
  for (const StageSection& stage : config.stages) tokens += stage.steps * stage.batch.tokens_per_step();
  fmt::print("{}: {} parameters, {} steps, {} tokens, on {} in {}{}\n\n", config.run.name,
             format_count(parameter_count(config.model)), format_count(config.total_steps()), format_count(tokens),
             target.device, name_of(target.backend->dtype()), target.why);
  print_memory(config, *target.backend, mesh);
  print_operations(config, target);
  if (options.ranks > 1) print_ranks(config, target, options);
  print_data(config);
  const std::string whose = config.hardware.memory > 0 ? "hardware.memory is" : target.device + " has";
  try {
    check_memory(config, *target.backend, available, mesh);
    fmt::print("\nIt fits: {} {}.\n", whose, format_bytes(available));
  } catch (const InputError& error) {
    fmt::print("\nIt does not fit: {}\n", error.what());
  }
}

}  // namespace

void add_plan_command(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("plan", "Show the memory, operations and time of a run without running it");
  auto options = std::make_shared<Options>();
  add_config_options(*command, options->config, options->settings);
  command->add_option("--gpu", options->gpu,
                      fmt::format("Plan for this GPU ({}); by default for this machine's", join(known_gpus(), ", ")));
  CLI::Option* ranks = command->add_option("--ranks", options->ranks, "Plan for this number of ranks");
  ranks->check(CLI::Range(1, 1 << 20));
  command
      ->add_option(
          "--step-seconds", options->step_seconds,
          "With --ranks: the measured seconds of a step of one rank with the stage's global batch (`bench step`)")
      ->needs(ranks)
      ->check([](const std::string& text) {
        double seconds = 0;
        const bool valid = CLI::detail::lexical_cast(text, seconds) && seconds >= 1e-6 && seconds <= 1e6;
        return valid ? std::string() : text + " is not the time of a step; expected seconds, from 1e-6 to 1e6";
      });
  command->callback([options] { plan(*options); });
}

}  // namespace lighthouse
