// lighthouse bench generate: times decoding and compares it with the time to read the weights.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>

#include "breakdown.h"
#include "commands.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/eval/decoding.h"
#include "lighthouse/eval/generator.h"
#include "lighthouse/ops/cost_meter.h"
#include "rates.h"
#include "timing.h"

namespace lighthouse {
namespace {

struct Options {
  std::string model = "paper-530m";
  std::string device = "auto";
  std::string dtype = "auto";
  int64_t prompt = 128;
  int64_t tokens = 256;
  int64_t context = 2048;
  bool breakdown = false;
};

/// Random weights: a million random numbers, repeated, because drawing half a billion takes long.
class RandomWeights {
 public:
  RandomWeights(const ModelConfig& model, Backend& backend) {
    Arena measuring;
    lay_out_parameters(measuring, MemoryUse::kWeights, model, backend.dtype());
    arena_ = Arena(backend.allocate(measuring.used()));
    parameters_ = lay_out_parameters(arena_, MemoryUse::kWeights, model, backend.dtype());
    const Tensor& all = parameters_.flat;
    const int64_t size = std::min(all.numel(), int64_t{1} << 20);
    fill_random(backend, all.slice(0, 0, size), "weights");
    for (int64_t begin = size; begin < all.numel(); begin += size) {
      const int64_t count = std::min(size, all.numel() - begin);
      backend.copy(backend.compute_stream(), all.slice(0, begin, begin + count), all.slice(0, 0, count));
    }
    backend.wait(backend.compute_stream());
  }
  const Parameters& parameters() const { return parameters_; }

 private:
  Arena arena_;
  Parameters parameters_;
};

/// Bytes read for one token: all weights except the embedding, of which it reads one row, and the cached keys and
/// values.
double bytes_per_token(const ModelConfig& model, const Parameters& weights, double position) {
  const int64_t embedding = model.tie_word_embeddings ? 0 : weights.embed_tokens.bytes();
  const auto of_cache = static_cast<double>(2 * model.num_hidden_layers * model.num_key_value_heads * model.head_dim() *
                                            size_of(weights.flat.dtype()));
  return static_cast<double>(weights.flat.bytes() - embedding) + of_cache * position;
}

struct Times {
  double prompt = 0;
  std::vector<double> tokens;  // for each token, from its id to the logits after it on the host
  double sampled = 0;          // all tokens with greedy sampling
};

Times measure(const Options& options, const ModelConfig& model, const Parameters& weights, Backend& backend) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  Decoding decoding(model, weights, options.context, backend);
  const std::vector<int32_t> prompt(static_cast<size_t>(options.prompt), 1);
  SamplingOptions greedy;
  greedy.temperature = 0;
  decoding.start(prompt);  // libraries initialise
  for (int i = 0; i < 3; ++i) decoding.append(1);
  Times times;
  Clock::time_point start = Clock::now();
  std::vector<float> first = decoding.start(prompt);
  times.prompt = since(start);
  std::span<const float> logits = first;
  const Clock::time_point all = Clock::now();
  for (int64_t i = 0; i < options.tokens; ++i) {
    const int32_t token = sample(logits.data(), model.token_count(), greedy, static_cast<uint64_t>(i));
    start = Clock::now();
    logits = decoding.append(token);
    times.tokens.push_back(since(start));
  }
  times.sampled = since(all);
  return times;
}

/// Prints the time of each operation of one token.
void print_breakdown(const Options& options, const ModelConfig& model, const Parameters& weights, Backend& backend,
                     double bytes_per_second) {
  Rates rates;
  rates.bytes_per_second = bytes_per_second;
  CostMeter timing(backend, CostMeter::Mode::kTimeRepeated, rates);
  Decoding decoding(model, weights, options.context, backend);
  decoding.start(std::vector<int32_t>(static_cast<size_t>(options.prompt), 1));
  timing.reset();
  decoding.append(1);
  fmt::print("\none token, each operation repeated; the roofline of attention assumes a full cache:\n{}",
             breakdown_of(timing.costs()));
}

void bench_generate(const Options& options) {
  if (options.prompt + std::max<int64_t>(options.tokens, 3) > options.context) {
    throw InputError(fmt::format("--prompt {} plus --tokens {} exceeds --context {}; use a larger context",
                                 options.prompt, options.tokens, options.context));
  }
  const auto model = model_preset(options.model);
  if (!model) {
    throw InputError(
        fmt::format("unknown model \"{}\"; expected one of {}", options.model, join(model_preset_names(), ", ")));
  }
  const auto backend = make_backend(options.device, options.dtype);
  const RandomWeights weights(*model, *backend);
  Times times = measure(options, *model, weights.parameters(), *backend);
  std::sort(times.tokens.begin(), times.tokens.end());
  const double typical = times.tokens[times.tokens.size() / 2];
  const double bytes = bytes_per_token(*model, weights.parameters(),
                                       static_cast<double>(options.prompt) + static_cast<double>(options.tokens) / 2);
  const double peak = backend->hardware().bytes_per_second;
  const double copy = copy_rate(*backend);
  fmt::print("{}\n{}: {} weights, prompt of {} tokens in {:.2f} ms\n", backend->description(), options.model,
             format_bytes(weights.parameters().flat.bytes()), options.prompt, 1e3 * times.prompt);
  fmt::print("a token: {:.3f} ms (median of {}; best {:.3f}), {:.0f} tokens/s; with greedy sampling {:.0f} tokens/s\n",
             1e3 * typical, options.tokens, 1e3 * times.tokens.front(), 1 / typical,
             static_cast<double>(options.tokens) / times.sampled);
  fmt::print("a token reads {}B: {}B/s, {:.0f}% of a copy's {}B/s", format_si(bytes), format_si(bytes / typical),
             100 * bytes / typical / copy, format_si(copy));
  if (peak > 0) fmt::print(", {:.0f}% of the data sheet's {}B/s", 100 * bytes / typical / peak, format_si(peak));
  fmt::print("\n");
  if (options.breakdown) print_breakdown(options, *model, weights.parameters(), *backend, copy);
}

}  // namespace

void add_bench_generate_command(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand("generate", "Time decoding token by token, with random weights");
  auto options = std::make_shared<Options>();
  command->add_option("--model", options->model, "A preset: " + join(model_preset_names(), ", "))
      ->capture_default_str();
  add_device_options(*command, options->device, options->dtype);
  command->add_option("--prompt", options->prompt, "Tokens of the prompt")->check(at_least(1))->capture_default_str();
  command->add_option("--tokens", options->tokens, "Tokens to time")->check(at_least(1))->capture_default_str();
  command->add_option("--context", options->context, "Capacity of the cache in tokens")
      ->check(at_least(1))
      ->capture_default_str();
  command->add_flag("--breakdown", options->breakdown, "Show time and roofline of each operation of a token");
  command->callback([options] { bench_generate(*options); });
}

}  // namespace lighthouse
