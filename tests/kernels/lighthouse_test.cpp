// Lighthouse Attention's kernels against the CPU's, on settings drawn at random, up to 65,536 tokens.
#include <limits>

#include "kernel_test.h"

namespace lighthouse {
namespace {

struct Case {
  LighthouseShape shape;
  int64_t batch = 1, groups = 1, share = 1;  // share: query heads a key/value head serves
  int64_t head_dim = 8;

  int64_t queries() const { return groups * share; }
  int64_t fused() const { return queries() + 2 * groups; }
  Shape full(int64_t heads) const { return {batch, shape.sequence_length, heads, head_dim}; }
  Shape gathered(int64_t heads) const { return {batch, shape.gathered(), heads, head_dim}; }
  Shape scores() const { return {batch, groups, shape.scored_entries()}; }
  Shape indices() const { return {batch, groups, shape.gathered()}; }
  Shape rows() const { return {batch, groups, shape.all_entries()}; }
  /// Of every setting, for messages.
  Shape sizes() const { return {shape.sequence_length, shape.levels, shape.pooling_factor, shape.top_k, shape.tile}; }
};

constexpr int64_t kManyElements = int64_t{1} << 21;  // limits the reference's time

/// Valid settings of at most 65,536 tokens. Few levels and small tiles are as likely as many and large ones.
Case random_case(uint32_t seed) {
  std::mt19937 random(seed);
  const auto draw = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random() % static_cast<uint32_t>(high - low + 1));
  };
  Case c;
  do {
    c.shape.levels = draw(2, 7);
    c.shape.pooling_factor = draw(2, c.shape.levels < 4 ? 9 : 4);
    c.shape.tile = int64_t{2} << draw(0, 7);
    const int64_t tiles = draw(1, 9);
    c.shape.top_k = tiles * c.shape.tile;
    c.shape.sequence_length = (c.shape.tile + draw(0, 70)) * tiles * c.shape.span(c.shape.levels - 1);
    c.shape.cover_prefix = draw(0, 1) == 1;
  } while (c.shape.sequence_length > 65536);
  c.batch = draw(1, 3);
  c.groups = draw(1, 3);
  c.share = draw(1, 3);
  c.head_dim = std::vector<int64_t>{8, 16, 20, 64, 128, 136}[static_cast<size_t>(draw(0, 5))];
  if (c.full(c.fused()).numel() > kManyElements) c.head_dim = 8;
  if (c.full(c.fused()).numel() > kManyElements) c.batch = c.share = 1;
  c.shape.check();
  return c;
}

/// Scores with many ties, both zeros, infinities, and NaN.
Values tied_scores(const Shape& shape, uint32_t seed) {
  const double infinity = std::numeric_limits<double>::infinity();
  const Values odd = {std::numeric_limits<double>::quiet_NaN(), infinity, -infinity, 0.0, -0.0, -1.0};
  std::mt19937 random(seed);
  Values values(static_cast<size_t>(shape.numel()));
  for (double& value : values) value = random() % 8 == 0 ? odd[random() % odd.size()] : random() % 30;
  return values;
}

class LighthouseTest : public KernelTest {
 protected:
  /// A selection by random scores, on both sides.
  struct Selected {
    Operand indices, rows;

    LighthouseSelection on(const Side& side) const { return {side(indices), side(rows)}; }
  };
  Selected selection(Comparison& c, const Case& of, uint32_t seed) {
    const LighthouseShape shape = of.shape;
    std::vector<int32_t> indices(static_cast<size_t>(of.indices().numel()));
    std::vector<int32_t> rows(static_cast<size_t>(of.rows().numel()));
    Values s_q = random_values(of.scores().numel(), seed), s_k = random_values(of.scores().numel(), seed + 1);
    const std::vector<float> q(s_q.begin(), s_q.end()), k(s_k.begin(), s_k.end());
    const auto tensor = [](const auto& values, const Shape& as, DType type) {
      return Tensor(const_cast<void*>(static_cast<const void*>(values.data())), as, type);
    };
    cpu_->lighthouse_select({}, {tensor(indices, of.indices(), DType::kInt32), tensor(rows, of.rows(), DType::kInt32)},
                            tensor(q, of.scores(), DType::kFloat32), tensor(k, of.scores(), DType::kFloat32), shape);
    return {c.input(DType::kInt32, of.indices(), {indices.begin(), indices.end()}),
            c.input(DType::kInt32, of.rows(), {rows.begin(), rows.end()})};
  }

  void expect_same_selection(const Case& of, const Values& s_q, const Values& s_k) {
    Comparison c = compare(of.sizes());
    const Operand queries = c.input(DType::kFloat32, of.scores(), s_q);
    const Operand keys = c.input(DType::kFloat32, of.scores(), s_k);
    const Operand indices = c.output(DType::kInt32, of.indices()), rows = c.output(DType::kInt32, of.rows());
    c.run([&](const Side& on) {
      on->lighthouse_select(on.stream, {on(indices), on(rows)}, on(queries), on(keys), of.shape);
    });
    c.expect_close();
  }
};

TEST_P(LighthouseTest, SelectsWhatTheCpuSelects) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const Case of = random_case(seed);
    expect_same_selection(of, random_values(of.scores().numel(), seed), random_values(of.scores().numel(), seed + 1));
    expect_same_selection(of, tied_scores(of.scores(), seed), tied_scores(of.scores(), seed + 1));
  }
}

// More candidates in a tile than keys fit into shared memory, and more rows than 65,535 blocks.
TEST_P(LighthouseTest, SelectsFromVeryLargeTiles) {
  Case of;
  of.shape = {.sequence_length = 262144, .levels = 2, .pooling_factor = 2, .top_k = 4, .tile = 4};
  expect_same_selection(of, tied_scores(of.scores(), 1), tied_scores(of.scores(), 2));
  // A byte too many for the keys beside what the kernel has already.
  of.shape = {.sequence_length = 109322, .levels = 2, .pooling_factor = 2, .top_k = 128, .tile = 128};
  expect_same_selection(of, tied_scores(of.scores(), 5), tied_scores(of.scores(), 6));
  of.shape = {.sequence_length = 262144, .levels = 2, .pooling_factor = 2, .top_k = 16384, .tile = 16384};
  expect_same_selection(of, tied_scores(of.scores(), 3), tied_scores(of.scores(), 4));
}

TEST_P(LighthouseTest, InvertsASelection) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const Case of = random_case(seed);
    Comparison c = compare(of.sizes());
    const Selected selected = selection(c, of, seed);
    const Operand rows = c.output(DType::kInt32, of.rows());
    c.run_on_gpu([&](const Side& on) { on->lighthouse_invert(on.stream, {on(selected.indices), on(rows)}, of.shape); });
    EXPECT_TRUE(c.same_on_gpu(rows, selected.rows));
  }
}

// The sum of squares is exact enough that both devices round it to the same float.
TEST_P(LighthouseTest, NormScoresAreTheCpusToTheBit) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const Case of = random_case(seed);
    Comparison c = compare(of.sizes());
    Values values = random_values(of.full(of.fused()).numel(), seed);
    values[0] = std::numeric_limits<double>::quiet_NaN();
    values[values.size() / 2] = 1e30;
    const Operand qkv = c.input(type(), of.full(of.fused()), values);
    const Operand s_q = c.output(DType::kFloat32, of.scores()), s_k = c.output(DType::kFloat32, of.scores());
    c.run([&](const Side& on) {
      const Tensor q = on(qkv).slice(2, 0, of.queries()), k = on(qkv).slice(2, of.queries(), of.queries() + of.groups);
      on->lighthouse_norm_scores(on.stream, on(s_q), on(s_k), q, k, of.shape);
    });
    for (const Operand scores : {s_q, s_k}) EXPECT_EQ(c.gpu(scores), c.cpu(scores)) << "seed " << seed;
  }
}

TEST_P(LighthouseTest, DilatedScores) {
  for (const int64_t share : {1, 3}) {
    Case of;
    of.shape = {.sequence_length = 2048, .levels = 3, .pooling_factor = 4, .top_k = 64, .tile = 32};
    of.batch = 2;
    of.groups = 2;
    of.share = share;
    of.head_dim = 64;
    Comparison c = compare(of.sizes());
    const Operand qkv = c.input(type(), of.full(of.fused()));
    const Operand s_q = c.output(DType::kFloat32, of.scores()), s_k = c.output(DType::kFloat32, of.scores());
    const Operand scratch = c.scratch([&](const Backend& backend) {
      return backend.lighthouse_dilated_scores_scratch(of.full(of.queries()), of.groups, 4, of.shape);
    });
    c.run([&](const Side& on) {
      const int64_t k = of.queries(), v = k + of.groups;
      on->lighthouse_dilated_scores(on.stream, on(s_q), on(s_k), on(scratch), on(qkv).slice(2, 0, k),
                                    on(qkv).slice(2, k, v), on(qkv).slice(2, v, v + of.groups), 4, of.shape);
    });
    for (const Operand scores : {s_q, s_k}) {
      EXPECT_TRUE(close(c.gpu(scores), c.cpu(scores), of.shape.scored_entries(), tolerance_of(type())));
    }
  }
}

TEST_P(LighthouseTest, GatherAndItsTranspose) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const Case of = random_case(seed);
    Comparison c = compare(of.sizes());
    const Selected selected = selection(c, of, seed);
    const Shape angles{of.shape.sequence_length, of.head_dim / 2};
    const Operand cos = c.output(DType::kFloat32, angles), sin = c.output(DType::kFloat32, angles);
    const Operand qkv = c.input(type(), of.full(of.fused())), d_rows = c.input(type(), of.gathered(of.fused()));
    const Operand rotated = c.output(type(), of.gathered(of.fused())),
                  d_rotated = c.output(type(), of.full(of.fused()));
    const Operand plain = c.output(type(), of.gathered(of.fused())), d_plain = c.output(type(), of.full(of.fused()));
    c.run([&](const Side& on) {
      const LighthouseSelection s = selected.on(on);
      on->rope_table(on.stream, on(cos), on(sin), 10000);
      on->lighthouse_gather(on.stream, on(rotated), on(qkv), s, on(cos), on(sin), of.shape);
      on->lighthouse_gather_backward(on.stream, on(d_rotated), on(d_rows), s, on(cos), on(sin), of.shape);
      on->lighthouse_gather(on.stream, on(plain), on(qkv), s, {}, {}, of.shape);
      on->lighthouse_gather_backward(on.stream, on(d_plain), on(d_rows), s, {}, {}, of.shape);
    });
    c.expect_close();
  }
}

// The mean with the window branch, in place and apart.
TEST_P(LighthouseTest, MeanWithTheWindowBranch) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const Case of = random_case(seed);
    Comparison c = compare(of.sizes());
    const Selected selected = selection(c, of, seed);
    const Shape angles{of.shape.sequence_length, of.head_dim / 2};
    const Operand cos = c.output(DType::kFloat32, angles), sin = c.output(DType::kFloat32, angles);
    const Operand rows = c.input(type(), of.gathered(of.queries())), d_rows = c.input(type(), of.gathered(of.fused()));
    const Operand window_out = c.input(type(), of.full(of.queries())), out = c.output(type(), of.full(of.queries()));
    const Operand window_dqkv = c.updated(type(), of.full(of.fused()));
    c.run([&](const Side& on) {
      const LighthouseSelection s = selected.on(on);
      on->rope_table(on.stream, on(cos), on(sin), 10000);
      on->lighthouse_scatter(on.stream, on(out), on(rows), s, of.shape, on(window_out));
      on->lighthouse_gather_backward(on.stream, on(window_dqkv), on(d_rows), s, on(cos), on(sin), of.shape,
                                     on(window_dqkv));
    });
    c.expect_close();
  }
}

TEST_P(LighthouseTest, ScatterAndItsTranspose) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const Case of = random_case(seed);
    Comparison c = compare(of.sizes());
    const Selected selected = selection(c, of, seed);
    const Operand rows = c.input(type(), of.gathered(of.queries())), dout = c.input(type(), of.full(of.queries()));
    const Operand out = c.output(type(), of.full(of.queries())), d_rows = c.output(type(), of.gathered(of.queries()));
    c.run([&](const Side& on) {
      const LighthouseSelection s = selected.on(on);
      on->lighthouse_scatter(on.stream, on(out), on(rows), s, of.shape);
      on->lighthouse_scatter_backward(on.stream, on(d_rows), on(dout), s, of.shape);
    });
    c.expect_close();
  }
}

// Elements past 2^31 of a fused qkv: the last tokens' results equal those in a short sequence.
TEST_P(LighthouseTest, GathersAndSpreadsAMillionTokens) {
  if (type() == DType::kFloat32) GTEST_SKIP() << "one type is enough, and this one takes half the memory";
  Case of;
  of.shape = {.sequence_length = 1048576, .levels = 4, .pooling_factor = 4, .top_k = 4096, .tile = 128};
  of.groups = 8;
  of.head_dim = 128;
  const Shape full = of.full(of.fused()), rows = of.gathered(of.fused());
  ASSERT_GT(full.numel(), int64_t{1} << 31);
  const int64_t span = of.shape.span(3), length = of.shape.sequence_length;
  const auto device = [&](const Memory& memory, const Shape& shape, DType dtype) {
    return Tensor(memory.address(), shape, dtype, memory.device());
  };
  const Memory full_memory = gpu_->allocate(2 * full.numel()), rows_memory = gpu_->allocate(2 * rows.numel());
  const Memory indices_memory = gpu_->allocate(4 * of.indices().numel()),
               inverse_memory = gpu_->allocate(4 * of.rows().numel());
  const Memory q_memory = gpu_->allocate(4 * of.scores().numel()), k_memory = gpu_->allocate(4 * of.scores().numel());
  const Tensor x = device(full_memory, full, type()), gathered = device(rows_memory, rows, type());
  const LighthouseSelection selected{device(indices_memory, of.indices(), DType::kInt32),
                                     device(inverse_memory, of.rows(), DType::kInt32)};
  const Tensor s_q = device(q_memory, of.scores(), DType::kFloat32);
  const Tensor s_k = device(k_memory, of.scores(), DType::kFloat32);
  const Stream stream = gpu_->compute_stream();
  const Tensor last = x.slice(1, length - span, length);
  const Values values = rounded(random_values(last.numel(), 1), type());
  upload(*gpu_, last, {encode(values, type()).data(), last.shape(), type()});
  gpu_->lighthouse_norm_scores(stream, s_q, s_k, x.slice(2, 0, 8), x.slice(2, 8, 16), of.shape);
  gpu_->lighthouse_select(stream, selected, s_q, s_k, of.shape);
  gpu_->lighthouse_gather(stream, gathered, x, selected, {}, {}, of.shape);
  const auto row = download<float>(*gpu_, gathered.slice(1, rows[1] - 1, rows[1]));  // of the last coarsest entry
  const int64_t width = of.fused() * of.head_dim;
  for (int64_t i = 0; i < width; ++i) {
    double mean = 0;
    for (int64_t token = 0; token < span; ++token) mean += values[static_cast<size_t>(token * width + i)] / 64.0;
    ASSERT_NEAR(row[static_cast<size_t>(i)], mean, 5e-3) << "element " << i;
  }
  gpu_->fill(stream, gathered, 0);
  gpu_->fill(stream, gathered.slice(1, rows[1] - 1, rows[1]), 64);
  gpu_->lighthouse_gather_backward(stream, x, gathered, selected, {}, {}, of.shape);
  const auto spread = download<float>(*gpu_, x.slice(1, length - 2 * span, length));
  for (size_t i = 0; i < spread.size(); ++i) ASSERT_EQ(spread[i], i < spread.size() / 2 ? 0 : 1) << "element " << i;
}

INSTANTIATE_TEST_SUITE_P(Types, LighthouseTest, kTypes, type_name);

}  // namespace
}  // namespace lighthouse
