// lighthouse bench attention: times one layer with dense, window and Lighthouse attention, and compares it with its
// lower bounds.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "attention_timing.h"
#include "breakdown.h"
#include "commands.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/text.h"
#include "lighthouse/ops/cost_meter.h"
#include "rates.h"
#include "timing.h"

namespace lighthouse {
namespace {

struct Options {
  std::string device = "auto", dtype = "auto", scorer = "norm";
  bool deterministic = false;
  std::vector<int64_t> sequence_lengths;  // empty: defaults of the device
  AttentionShape shape{1, 0, 0, 0, 0};    // 0: default of the device
  LighthouseSettings lighthouse;
  int64_t top_k = 0;   // 0: N / 64
  int64_t window = 0;  // width for window attention and for Lighthouse with a window; 0: skip both
  int64_t repeats = 3;
  int64_t longest_dense = int64_t{1} << 30;
  bool breakdown = false;
  std::string csv;
};

/// One Lighthouse layer with its inputs and outputs, from q, k, v before RoPE to dq, dk, dv.
class LayerBench {
 public:
  /// `window`: the width of the local window beside Lighthouse; 0: none.
  LayerBench(const LighthouseSettings& settings, int64_t window, const AttentionShape& shape, Backend& backend)
      : shape_(shape),
        backend_(backend),
        stream_(backend.compute_stream()),
        attention_(make_attention({AttentionKind::kLighthouse, window}, settings, shape, rope_, backend)) {
    Arena measuring;
    lay_out(measuring);
    arena_ = Arena(backend.allocate(measuring.used()));
    lay_out(arena_);
    backend.rope_table(stream_, rope_.cos, rope_.sin, 500000);
    fill_random(backend, qkv_, "qkv");
    fill_random(backend, dout_, "dout");
  }

  void forward() { attention_->forward(stream_, out_, qkv_); }
  void both() {
    forward();
    attention_->backward(stream_, dqkv_, dout_, out_, qkv_);
  }
  AttentionSeconds time(int64_t repeats) {
    return {seconds_on(backend_, repeats, [this] { forward(); }), seconds_on(backend_, repeats, [this] { both(); })};
  }
  int64_t bytes() const { return arena_.used(); }

 private:
  void lay_out(Arena& arena) {
    const int64_t n = shape_.sequence_length;
    const auto take = [&](const Shape& shape, DType dtype) {
      return arena.allocate(MemoryUse::kActivations, shape, dtype);
    };
    for (Tensor* table : {&rope_.cos, &rope_.sin}) *table = take({n, shape_.head_dim / 2}, DType::kFloat32);
    for (Tensor* fused : {&qkv_, &dqkv_}) *fused = take({shape_.batch, n, shape_.qkv_size()}, backend_.dtype());
    for (Tensor* full : {&out_, &dout_})
      *full = take({shape_.batch, n, shape_.heads, shape_.head_dim}, backend_.dtype());
    attention_->lay_out_kept(arena);
    attention_->lay_out_recomputed(arena);
    attention_->lay_out_scratch(arena);
  }

  AttentionShape shape_;
  Backend& backend_;
  Stream stream_;
  RopeTable rope_;
  Arena arena_;
  std::unique_ptr<Attention> attention_;
  Tensor qkv_, dqkv_, out_, dout_;
};

/// Measurements at one sequence length. 0 seconds: not measured.
struct Row {
  int64_t n = 0, top_k = 0, gathered = 0;
  AttentionSeconds dense, bound, lighthouse, window, with_window;
  int64_t bytes = 0;
};

std::string ms(double seconds) {
  return seconds > 0 ? format_milliseconds(seconds) : "";
}
std::string ratio(double a, double b) {
  return a > 0 && b > 0 ? fmt::format("{:.1f}x", a / b) : "";
}

/// FLOPs of causal attention's products, forward and backward: 2 + 5 products of D N^2, half of them masked.
double dense_flops(const AttentionShape& shape, int64_t n) {
  return 3.5 * causal_attention_flops({shape.batch, n, shape.heads, shape.head_dim});
}

/// `product`: the rate of a large matrix product, in FLOP/s.
std::string table_of(const std::vector<Row>& rows, const AttentionShape& shape, double product) {
  TextTable table({"N", "k", "S", "dense fwd", "fwd+bwd", "of product", "lighthouse fwd", "fwd+bwd", "bound fwd",
                   "fwd+bwd", "x dense fwd", "fwd+bwd", "x bound", "memory"});
  for (const Row& r : rows) {
    table.add_row(
        {format_count(r.n), format_count(r.top_k), format_count(r.gathered), ms(r.dense.forward), ms(r.dense.both),
         r.dense.both > 0 ? fmt::format("{:.0f}%", 100 * dense_flops(shape, r.n) / r.dense.both / product) : "",
         ms(r.lighthouse.forward), ms(r.lighthouse.both), ms(r.bound.forward), ms(r.bound.both),
         ratio(r.dense.forward, r.lighthouse.forward), ratio(r.dense.both, r.lighthouse.both),
         fmt::format("{:.2f}", r.lighthouse.both / r.bound.both), format_bytes(r.bytes)});
  }
  return table.str();
}

/// Times of window attention, alone and beside Lighthouse. The roofline of window attention is the larger of its
/// traffic at the rate of a copy, `copy`, and its arithmetic at the rate of a large product.
std::string window_table_of(const std::vector<Row>& rows, const Options& options, const Backend& backend,
                            double product, double copy) {
  TextTable table({"N", "window", "window fwd", "fwd+bwd", "roofline", "x roofline", "lighthouse + window fwd",
                   "fwd+bwd", "x dense fwd+bwd", "more than lighthouse"});
  const AttentionShape& s = options.shape;
  for (const Row& r : rows) {
    const double flops = 3.5 * causal_attention_flops({s.batch, r.n, s.heads, s.head_dim}, options.window);
    // Forward reads q, k, v and writes out; backward reads q, k, v, out and dout and writes dq, dk, dv.
    const auto elements =
        static_cast<double>(s.batch * r.n * s.head_dim * (5 * s.heads + 4 * s.kv_heads + s.heads + 2 * s.kv_heads));
    const double roofline = std::max(flops / product, elements * static_cast<double>(size_of(backend.dtype())) / copy);
    table.add_row({format_count(r.n), format_count(options.window), ms(r.window.forward), ms(r.window.both),
                   ms(roofline), fmt::format("{:.2f}", r.window.both / roofline), ms(r.with_window.forward),
                   ms(r.with_window.both), ratio(r.dense.both, r.with_window.both),
                   ms(r.with_window.both - r.lighthouse.both)});
  }
  return table.str();
}

std::string csv_of(const std::vector<Row>& rows) {
  std::string csv =
      "n,top_k,gathered,dense_forward_ms,dense_both_ms,lighthouse_forward_ms,lighthouse_both_ms,bound_forward_ms,"
      "bound_both_ms,memory_bytes,window_forward_ms,window_both_ms,lighthouse_window_forward_ms,"
      "lighthouse_window_both_ms\n";
  const auto number = [](double seconds) { return seconds > 0 ? fmt::format("{:.6g}", 1e3 * seconds) : ""; };
  for (const Row& r : rows) {
    csv += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", r.n, r.top_k, r.gathered, number(r.dense.forward),
                       number(r.dense.both), number(r.lighthouse.forward), number(r.lighthouse.both),
                       number(r.bound.forward), number(r.bound.both), r.bytes, number(r.window.forward),
                       number(r.window.both), number(r.with_window.forward), number(r.with_window.both));
  }
  return csv;
}

/// Time and traffic of each operation of a layer.
void print_breakdown(const LighthouseSettings& settings, int64_t window, const AttentionShape& shape, Backend& backend,
                     const AttentionSeconds& bound, double bytes_per_second) {
  const double flops = causal_attention_flops(
      {shape.batch, settings.shape(shape.sequence_length).gathered(), shape.heads, shape.head_dim});
  CostMeter timing(backend, CostMeter::Mode::kTimeRepeated,
                   {0, flops / bound.forward, 2.5 * flops / bound.backward(), bytes_per_second});
  LayerBench layer(settings, window, shape, backend);
  timing.reset();
  layer.both();
  fmt::print("\nN = {}, each operation repeated:\n{}\n", format_count(shape.sequence_length),
             breakdown_of(timing.costs()));
}

Options with_defaults(Options options, const Backend& backend) {
  const bool gpu = backend.device().kind == DeviceKind::kCuda;
  AttentionShape& s = options.shape;
  if (options.sequence_lengths.empty()) {
    options.sequence_lengths = gpu ? std::vector<int64_t>{32768, 98304, 131072, 262144, 524288}
                                   : std::vector<int64_t>{2048, 4096, 8192, 16384};
  }
  if (s.heads == 0) s.heads = gpu ? 8 : 4;
  if (s.kv_heads == 0) s.kv_heads = s.heads;
  if (s.head_dim == 0) s.head_dim = gpu ? 128 : 64;
  if (s.heads % s.kv_heads != 0) {
    throw InputError(fmt::format("--heads is {}; expected a multiple of --kv-heads, {}", s.heads, s.kv_heads));
  }
  options.lighthouse.scorer = options.scorer == "dilated" ? Scorer::kDilated : Scorer::kNorm;
  return options;
}

LighthouseSettings settings_at(const Options& options, int64_t n) {
  LighthouseSettings settings = options.lighthouse;
  settings.top_k = options.top_k > 0 ? options.top_k : n / 64;
  settings.tile = std::min(settings.tile, settings.top_k);
  settings.dense_layers.clear();
  AttentionSettings{0, settings}.check(AttentionKind::kLighthouse, n, 1);
  return settings;
}

Row measure(const Options& options, int64_t n, Backend& backend) {
  AttentionShape shape = options.shape;
  shape.sequence_length = n;
  const LighthouseSettings settings = settings_at(options, n);
  Row row;
  row.n = n;
  row.top_k = settings.top_k;
  row.gathered = settings.shape(n).gathered();
  {
    LayerBench layer(settings, 0, shape, backend);
    row.lighthouse = layer.time(options.repeats);
    row.bytes = layer.bytes();
  }
  if (options.window > 0) {
    row.with_window = LayerBench(settings, options.window, shape, backend).time(options.repeats);
    row.window = time_attention(backend, shape, options.repeats, options.window);
  }
  AttentionShape gathered = shape;
  gathered.sequence_length = row.gathered;
  row.bound = time_attention(backend, gathered, options.repeats);
  if (n <= options.longest_dense) row.dense = time_attention(backend, shape, options.repeats);
  return row;
}

void bench_attention(const Options& given) {
  const auto backend = make_backend(given.device, given.dtype, given.deterministic);
  const Options options = with_defaults(given, *backend);
  for (const int64_t n : options.sequence_lengths) settings_at(options, n);  // throws before anything runs
  const AttentionShape& s = options.shape;
  const double copy = copy_rate(*backend);
  const double product = product_flops(*backend, backend->device().kind == DeviceKind::kCuda ? 8192 : 2048);
  fmt::print(
      "{}\nB={} H={} G={} D={}, L={} p={} tile={}, scorer {}, {}; best of {}; copy at {}B/s, product at "
      "{}FLOP/s.\nDense and bound are "
      "attention alone, on N rows and on S.\n",
      backend->description(), s.batch, s.heads, s.kv_heads, s.head_dim, options.lighthouse.levels,
      options.lighthouse.pooling_factor, options.lighthouse.tile, options.scorer, name_of(backend->dtype()),
      options.repeats, format_si(copy), format_si(product));
  std::vector<Row> rows;
  for (const int64_t n : options.sequence_lengths) {
    rows.push_back(measure(options, n, *backend));
    if (!options.breakdown) continue;
    AttentionShape shape = s;
    shape.sequence_length = n;
    print_breakdown(settings_at(options, n), options.window, shape, *backend, rows.back().bound, copy);
  }
  fmt::print("\n{}", table_of(rows, s, product));
  if (options.window > 0) fmt::print("\n{}", window_table_of(rows, options, *backend, product, copy));
  if (!options.csv.empty()) write_file(options.csv, csv_of(rows));
}

}  // namespace

void add_bench_attention_command(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand(
      "attention", "Time one layer with dense, window and Lighthouse attention, forward and backward");
  auto o = std::make_shared<Options>();
  add_device_options(*command, o->device, o->dtype);
  command->add_flag("--deterministic", o->deterministic, "Use the bit-reproducible backward pass of attention");
  command->add_option("--sequence-lengths", o->sequence_lengths, "N,N,...: sequence lengths")
      ->delimiter(',')
      ->check(at_least(1));
  command->add_option("--batch", o->shape.batch, "B, sequences in a batch")->check(at_least(1))->capture_default_str();
  command->add_option("--heads", o->shape.heads, "H, query heads; by default 8 on a GPU, 4 on the CPU")
      ->check(at_least(1));
  command->add_option("--kv-heads", o->shape.kv_heads, "G, key/value heads; by default H")->check(at_least(1));
  command->add_option("--head-dim", o->shape.head_dim, "D, width of a head; by default 128 on a GPU, 64 on the CPU")
      ->check(at_least(1));
  command->add_option("--levels", o->lighthouse.levels, "L, levels of the pyramid")->capture_default_str();
  command->add_option("--pooling-factor", o->lighthouse.pooling_factor, "p, pooling factor")->capture_default_str();
  command->add_option("--top-k", o->top_k, "k, entries expanded at each level; 0: N / 64")
      ->check(at_least(0))
      ->capture_default_str();
  command->add_option("--window", o->window, "Also time window attention of this width, alone and beside Lighthouse")
      ->check(at_least(1));
  command->add_option("--tile", o->lighthouse.tile, "Entries expanded by one tile; at most k")->capture_default_str();
  command->add_option("--scorer", o->scorer, "norm or dilated")
      ->check(CLI::IsMember({"norm", "dilated"}))
      ->capture_default_str();
  command->add_option("--dilation", o->lighthouse.dilation, "Streams of the dilated scorer")->capture_default_str();
  command->add_option("--repeats", o->repeats, "Number of measurements; the fastest counts")
      ->check(at_least(1))
      ->capture_default_str();
  command->add_option("--longest-dense", o->longest_dense, "Skip dense attention above this N");
  command->add_flag("--breakdown", o->breakdown, "Show time, traffic and roofline of each operation of the layer");
  command->add_option("--csv", o->csv, "Also write the table to this file")->transform(expanded_path());
  command->callback([o] { bench_attention(*o); });
}

}  // namespace lighthouse
