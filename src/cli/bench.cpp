// lighthouse bench: times on this machine.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "commands.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/model/attention/attention.h"
#include "timing.h"

namespace lighthouse {
namespace {

struct Options {
  std::string device = "auto";
  std::vector<int64_t> sequence_lengths = {2048, 4096, 8192, 16384};
  AttentionShape shape{1, 0, 4, 4, 64};
  LighthouseSettings lighthouse;
  int64_t top_k = 0;  // 0: N / 64
  int64_t repeats = 3;
};

/// One attention layer with its inputs and outputs.
class AttentionBench {
 public:
  AttentionBench(AttentionKind kind, const LighthouseSettings& settings, const AttentionShape& shape, Backend& backend)
      : shape_(shape),
        backend_(backend),
        stream_(backend.compute_stream()),
        attention_(make_attention(kind, settings, shape, rope_, backend)) {
    Arena measuring;
    lay_out(measuring);
    arena_ = Arena(backend.allocate(measuring.used()));
    lay_out(arena_);
    backend.rope_table(backend.compute_stream(), rope_.cos, rope_.sin, 10000);
    fill_random(backend, input_, "qkv");
    fill_random(backend, dout_, "dout");
  }

  double forward_seconds(int64_t repeats) {
    return best_seconds(repeats, [this] {
      forward();
      backend_.wait(stream_);
    });
  }
  double both_seconds(int64_t repeats) {
    return best_seconds(repeats, [this] {
      forward();
      attention_->backward(stream_, dqkv_, dout_, out_, qkv_);
      backend_.wait(stream_);
    });
  }
  int64_t bytes() const { return arena_.used(); }

 private:
  void lay_out(Arena& arena) {
    const Shape qkv{shape_.batch, shape_.sequence_length, shape_.qkv_size()};
    const Shape out{shape_.batch, shape_.sequence_length, shape_.heads, shape_.head_dim};
    for (Tensor* tensor : {&rope_.cos, &rope_.sin}) {
      *tensor = arena.allocate(MemoryUse::kActivations, {shape_.sequence_length, shape_.head_dim / 2});
    }
    for (Tensor* tensor : {&input_, &qkv_, &dqkv_})
      *tensor = arena.allocate(MemoryUse::kActivations, qkv, backend_.dtype());
    for (Tensor* tensor : {&out_, &dout_}) *tensor = arena.allocate(MemoryUse::kActivations, out, backend_.dtype());
    attention_->lay_out_kept(arena);
    attention_->lay_out_scratch(arena);
  }

  void forward() {
    backend_.copy(stream_, qkv_, input_);  // forward rotates it in place
    attention_->forward(stream_, out_, qkv_);
  }

  AttentionShape shape_;
  Backend& backend_;
  Stream stream_;
  RopeTable rope_;
  Arena arena_;
  std::unique_ptr<Attention> attention_;
  Tensor input_, qkv_, dqkv_, out_, dout_;
};

/// Causal attention's products, forward and backward: 2 + 5 of D N^2 each, half of them masked away.
double dense_flops(const AttentionShape& shape) {
  const auto n = static_cast<double>(shape.sequence_length);
  return 7 * n * n * static_cast<double>(shape.head_dim * shape.heads * shape.batch);
}

void bench_attention(const Options& options) {
  const auto backend = make_backend(options.device == "cuda" ? DeviceChoice::kCuda : DeviceChoice::kCpu);
  const double ceiling = product_flops(*backend, 2048);
  fmt::print("{}\nMatrix product 2048^3: {}FLOP/s. B={} H={} G={} D={}, L={} p={} tile={}; best of {}, after one.\n\n",
             backend->description(), format_si(ceiling), options.shape.batch, options.shape.heads,
             options.shape.kv_heads, options.shape.head_dim, options.lighthouse.levels,
             options.lighthouse.pooling_factor, options.lighthouse.tile, options.repeats);
  TextTable table({"N", "k", "S", "dense fwd", "fwd+bwd", "of product", "lighthouse fwd", "fwd+bwd", "ratio fwd",
                   "fwd+bwd", "dense memory", "lighthouse memory"});
  const auto ms = [](double seconds) { return fmt::format("{:.1f} ms", 1e3 * seconds); };
  for (int64_t n : options.sequence_lengths) {
    AttentionShape shape = options.shape;
    shape.sequence_length = n;
    LighthouseSettings settings = options.lighthouse;
    settings.top_k = options.top_k > 0 ? options.top_k : n / 64;
    settings.tile = std::min(settings.tile, settings.top_k);
    AttentionBench sparse(AttentionKind::kLighthouse, settings, shape, *backend);
    AttentionBench dense(AttentionKind::kDense, settings, shape, *backend);
    const double dense_forward = dense.forward_seconds(options.repeats);
    const double dense_both = dense.both_seconds(options.repeats);
    const double sparse_forward = sparse.forward_seconds(options.repeats);
    const double sparse_both = sparse.both_seconds(options.repeats);
    table.add_row(
        {format_count(n), format_count(settings.top_k), format_count(settings.shape(n).gathered()), ms(dense_forward),
         ms(dense_both), fmt::format("{:.0f}%", 100 * dense_flops(shape) / dense_both / ceiling), ms(sparse_forward),
         ms(sparse_both), fmt::format("{:.1f}x", dense_forward / sparse_forward),
         fmt::format("{:.1f}x", dense_both / sparse_both), format_bytes(dense.bytes()), format_bytes(sparse.bytes())});
  }
  fmt::print("{}", table.str());
}

}  // namespace

void add_bench_command(CLI::App& program) {
  CLI::App* bench = program.add_subcommand("bench", "Measure times on this machine");
  bench->require_subcommand(1);
  add_bench_step_command(*bench);
  add_bench_generate_command(*bench);
  CLI::App* command = bench->add_subcommand("attention", "One layer, dense and Lighthouse, forward and backward");
  auto options = std::make_shared<Options>();
  command->add_option("--device", options->device, "auto, cpu or cuda")->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  command->add_option("--sequence-lengths", options->sequence_lengths, "N")->delimiter(',')->capture_default_str();
  command->add_option("--batch", options->shape.batch, "B")->check(CLI::PositiveNumber);
  command->add_option("--heads", options->shape.heads, "H")->check(CLI::PositiveNumber);
  command->add_option("--kv-heads", options->shape.kv_heads, "G")->check(CLI::PositiveNumber);
  command->add_option("--head-dim", options->shape.head_dim, "D")->check(CLI::PositiveNumber);
  command->add_option("--levels", options->lighthouse.levels, "L");
  command->add_option("--pooling-factor", options->lighthouse.pooling_factor, "p");
  command->add_option("--top-k", options->top_k, "k; 0: N / 64")->check(CLI::NonNegativeNumber);
  command->add_option("--tile", options->lighthouse.tile, "Entries expanded by one tile; at most k");
  command->add_option("--repeats", options->repeats, "Runs, of which the fastest counts")->check(CLI::PositiveNumber);
  command->callback([options] { bench_attention(*options); });
}

}  // namespace lighthouse
