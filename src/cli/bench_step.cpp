// lighthouse bench step: times the trainer's own step on random tokens.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <random>

#include "breakdown.h"
#include "commands.h"
#include "distributed_session.h"
#include "lighthouse/config/load.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/model/cost.h"
#include "lighthouse/train/memory_plan.h"
#include "lighthouse/train/model_tokenizer.h"
#include "lighthouse/train/step_cost.h"
#include "lighthouse/train/training_step.h"
#include "rates.h"

namespace lighthouse {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> settings;
  int64_t stage = 0;
  int64_t steps = 10, warmup = 3;
  bool breakdown = false;
};

/// The config with one stage, without evaluation and dense steps.
RunConfig only_stage(RunConfig config, int64_t stage) {
  const auto stages = static_cast<int64_t>(config.stages.size());
  if (stage < 0 || stage >= stages) {
    throw InputError(fmt::format("--stage is {}; expected 0 to {}, the stages of the config", stage, stages - 1));
  }
  config.stages = {config.stages[static_cast<size_t>(stage)]};
  config.stages[0].data.validation.clear();
  config.stages[0].dense_every = 0;
  return config;
}

/// A training step with its memory, random weights and random tokens.
class StepBench {
 public:
  StepBench(const RunConfig& config, Backend& backend, const Ranks& ranks)
      : config_(config),
        backend_(backend),
        ranks_(ranks),
        memory_(config, backend, ranks.mesh),
        arena_(backend.allocate(planned_bytes(config, backend, ranks.mesh))),
        parallel_(ranks.data ? std::make_unique<DataParallel>(memory_, *ranks.data, backend) : nullptr),
        feed_(backend, memory_.largest_batch()),
        step_(memory_, feed_, backend, parallel_.get()) {
    memory_.lay_out(arena_);
    // Products of zeros run faster than those of a trained model.
    fill_like_weights(memory_.weights());
    backend.wait(backend.compute_stream());
  }

  /// Starts measuring communication; communication() returns the cost since then.
  void measure_communication() {
    if (ranks_.data) ranks_.data->measure();
  }
  CommunicationCost communication() { return ranks_.data ? ranks_.data->cost() : CommunicationCost{}; }

  /// Returns the seconds of each of `count` steps, enqueued as the trainer does: one step while the device still
  /// computes the previous one. Omits the first and the last step, which do not overlap another one on both sides.
  std::vector<double> run(int64_t count) {
    using Clock = std::chrono::steady_clock;
    std::vector<double> seconds;
    auto last = Clock::now();
    const auto finish = [&] {
      step_.finish();
      const auto now = Clock::now();
      seconds.push_back(std::chrono::duration<double>(now - last).count());
      last = now;
    };
    for (int64_t i = 0; i < count + 2; ++i) {
      begin();
      if (step_.in_flight() == TrainingStep::kInFlight) finish();
    }
    while (step_.in_flight() > 0) finish();
    return {seconds.begin() + 1, seconds.end() - 1};
  }

  void run_one() {
    begin();
    step_.finish();
  }

 private:
  void begin() {
    const StageSection& stage = config_.stages[0];
    std::uniform_int_distribution<int32_t> token(0, static_cast<int32_t>(config_.model.vocab_size - 1));
    const auto windows = [&](std::span<int32_t> to) {
      std::generate(to.begin(), to.end(), [&] { return token(random_); });
    };
    step_.begin(memory_.training_pass(0, stage.attention), stage.batch, windows, 1e-4);
  }

  /// Fills the weights with a repeated pattern of pseudo-random numbers, because drawing half a billion takes long. The
  /// gradients, which are float32 on every rank, serve as staging memory.
  void fill_like_weights(const Parameters& weights) {
    std::vector<float> pattern(size_t{1} << 20);
    std::normal_distribution<float> normal(0, 0.02f);
    std::generate(pattern.begin(), pattern.end(), [&] { return normal(random_); });
    const Tensor& staging = memory_.gradients().flat;
    const auto size = static_cast<int64_t>(pattern.size());
    const Stream stream = backend_.compute_stream();
    for (int64_t begin = 0; begin < weights.matrices.numel(); begin += size) {
      const int64_t count = std::min(size, weights.matrices.numel() - begin);
      backend_.copy(stream, staging.slice(0, begin, begin + count), {pattern.data(), {count}, DType::kFloat32});
    }
    backend_.fill(stream, staging.slice(0, weights.matrices.numel(), staging.numel()), 1);
    backend_.copy(stream, weights.flat, staging);
    for (const ShardRange& range : memory_.shard().ranges) {
      const Tensor& master = memory_.master_weights().flat;
      backend_.copy(stream, memory_.master_is_sharded() ? range.in_shard(master) : range.in_flat(master),
                    range.in_flat(staging));
    }
    backend_.wait(stream);
  }

  RunConfig config_;
  Backend& backend_;
  Ranks ranks_;
  RunMemory memory_;
  Arena arena_;
  std::unique_ptr<DataParallel> parallel_;
  BatchFeed feed_;
  TrainingStep step_;
  std::mt19937 random_{1};
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(values.size()) / 2, values.end());
  return values[values.size() / 2];
}

/// The largest number of rows that a layer of the stage attends to.
int64_t attended_length(const RunConfig& config) {
  const StageSection& stage = config.stages[0];
  const int64_t length = stage.batch.sequence_length;
  const auto layers = attention_of_layers(stage.attention, config.attention, config.model);
  int64_t longest = 0;
  for (const LayerAttention& layer : layers) {
    switch (layer.kind) {
      case AttentionKind::kDense:
        return length;
      case AttentionKind::kWindow:
        longest = std::max(longest, std::min(layer.window, length));
        break;
      case AttentionKind::kLighthouse:
        longest = std::max(longest, config.attention.lighthouse.shape(length).gathered());
    }
  }
  return longest;
}

double flops_per_step(const RunConfig& config) {
  const StageSection& stage = config.stages[0];
  return training_flops_per_token(config.model, config.attention, stage.attention, stage.batch.sequence_length) *
         static_cast<double>(stage.batch.tokens_per_step());
}

void print_breakdown(const RunConfig& config, Backend& backend, const Rates& rates, const Ranks& ranks) {
  CostMeter timing(backend, CostMeter::Mode::kTime, rates);
  StepBench bench(config, backend, ranks);
  bench.run_one();
  timing.reset();
  bench.run_one();
  if (!ranks.is_rank0()) return;
  fmt::print("\n{}", breakdown_of(timing.costs()));
}

/// One rank's measurements.
struct Measured {
  double typical = 0;
  double best = 0;
  CommunicationCost communication;  // per step
};

Measured measure(StepBench& bench, int64_t warmup, int64_t steps) {
  bench.run(warmup);
  bench.measure_communication();
  const std::vector<double> seconds = bench.run(steps);
  Measured measured{median(seconds), *std::min_element(seconds.begin(), seconds.end()), bench.communication()};
  const auto made = static_cast<double>(steps + 2);
  measured.communication.busy_seconds /= made;
  measured.communication.exposed_seconds /= made;
  measured.communication.bytes = static_cast<int64_t>(static_cast<double>(measured.communication.bytes) / made);
  return measured;
}

/// Prints the communication cost of the rank that waited longest.
void print_communication(const CommunicationCost& cost, DistributedSession& session) {
  double exposed = -1;
  double busy = 0;
  const std::string mine = fmt::format("{} {}", cost.exposed_seconds, cost.busy_seconds);
  for (const std::string& times : session.group().gather(mine, "the times of all ranks")) {
    const size_t blank = times.find(' ');
    if (std::stod(times) <= exposed) continue;
    exposed = std::stod(times);
    busy = std::stod(times.substr(blank));
  }
  if (!session.is_rank0()) return;
  fmt::print("communication: {} per step, {} sent by each rank, {} not overlapped (of the rank that waited longest)\n",
             format_milliseconds(busy), format_bytes(cost.bytes), format_milliseconds(exposed));
}

void print_step(const RunConfig& config, Backend& backend, const Measured& measured, const Rates& rates,
                const Options& options, const Mesh& mesh) {
  const StageSection& stage = config.stages[0];
  const auto tokens = static_cast<double>(stage.batch.tokens_per_step());
  const bool on_gpu = config.run.device == DeviceChoice::kCuda;
  const double roofline = roofline_seconds(step_costs(config, 0, stage.attention, backend, rates, mesh));
  const Rates plan_rates =
      on_gpu ? planned_rates(with_configured_rates(backend.hardware(), config.hardware)) : host_rates(backend);
  const double planned = roofline_seconds(step_costs(config, 0, stage.attention, backend, plan_rates, mesh));
  const double peak = with_configured_rates(backend.hardware(), config.hardware).flops * mesh.size();
  fmt::print("step {} (median of {}; best {}), {} tokens/s, MFU {}, roofline {} ({:.0f}% of it reached), planned {}\n",
             format_milliseconds(measured.typical), options.steps, format_milliseconds(measured.best),
             format_count(static_cast<int64_t>(tokens / measured.typical)),
             peak > 0
                 ? fmt::format("{:.3f} of {}FLOP/s", flops_per_step(config) / measured.typical / peak, format_si(peak))
                 : "unknown (set hardware.peak_tflops)",
             format_milliseconds(roofline), 100 * roofline / measured.typical, format_milliseconds(planned));
  fmt::print("memory: planned {}; in use {} on the device, libraries included\n",
             format_bytes(planned_bytes(config, backend, mesh)), format_bytes(backend.memory_in_use()));
}

void bench_step(const Options& options, DistributedSession& session) {
  RunConfig config =
      only_stage(load_config_on_all_ranks(session, "bench step", options.config, options.settings), options.stage);
  std::unique_ptr<Backend> backend;
  on_all_ranks(session.group(), "the devices of all ranks", [&] {
    config = with_document_ends(with_device(config));
    backend = make_backend(config, session.local_rank());
    const Mesh mesh(session.rank(), session.size());
    check_batch_split(config.stages[0], mesh);
    const int64_t available = available_bytes(config, *backend);
    config = with_recompute(config, *backend, available, mesh);
    check_memory(config, *backend, available, mesh);
    return std::string();
  });
  const Ranks ranks = session.ranks(config, *backend);
  const StageSection& stage = config.stages[0];
  if (session.is_rank0()) {
    fmt::print("{}\n{}: {} attention, {} x {} tokens, {} a step, recompute {}\n", backend->description(),
               config.run.name, name_of(stage.attention), stage.batch.micro_batch_size, stage.batch.sequence_length,
               stage.batch.global_batch_size, name_of(recompute_of(stage.recompute)));
    if (ranks.world) {
      fmt::print("{}, tensors by {}{}\n", session.description(), ranks.world->description(),
                 config.distributed.shard_optimizer ? ", optimizer state sharded" : "");
    }
  }
  const Rates rates = measured_rates(*backend, config.model, stage.batch.micro_batch_size, attended_length(config));
  if (session.is_rank0()) {
    fmt::print("ceilings: product {}FLOP/s, attention {} and {}FLOP/s, copy {}B/s\n", format_si(rates.product_flops),
               format_si(rates.attention_forward_flops), format_si(rates.attention_backward_flops),
               format_si(rates.bytes_per_second));
  }
  {
    StepBench bench(config, *backend, ranks);
    const Measured measured = measure(bench, options.warmup, options.steps);
    if (session.is_rank0()) print_step(config, *backend, measured, rates, options, ranks.mesh);
    if (ranks.world) print_communication(measured.communication, session);
  }
  if (options.breakdown) print_breakdown(config, *backend, rates, ranks);
}

void bench_step(const Options& options) {
  const auto session = join_distributed_session(options.config, options.settings);
  session->run([&] { bench_step(options, *session); });
}

}  // namespace

void add_bench_step_command(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand("step", "Time a training step of a config, on random tokens");
  auto options = std::make_shared<Options>();
  add_config_options(*command, options->config, options->settings);
  command->add_option("--stage", options->stage, "Index of the stage, from 0")->capture_default_str();
  command->add_option("--steps", options->steps, "Steps to time")->check(at_least(1))->capture_default_str();
  command->add_option("--warmup", options->warmup, "Warm-up steps")->check(at_least(1))->capture_default_str();
  command->add_flag("--breakdown", options->breakdown, "Show time, roofline and share of each kind of operation");
  command->callback([options] { bench_step(*options); });
}

}  // namespace lighthouse
