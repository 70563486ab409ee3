#include <algorithm>

#include "lighthouse_test_shapes.h"

namespace lighthouse {
namespace {

constexpr int64_t kHeadDim = 8;

class LighthouseGatherTest : public OpTest {
 protected:
  Selected select(const LighthouseCase& c, uint32_t seed) {
    Selected result(c);
    const Shape scores{c.batch, c.groups, c.shape.scored_entries()};
    backend_->lighthouse_select(stream_, result, tied_scores(scores, seed), tied_scores(scores, seed + 1), c.shape);
    return result;
  }
};

// The key/value head of head x: of query heads, or of the heads of a fused qkv.
int64_t group_of(const LighthouseCase& c, int64_t head, int64_t heads) {
  const int64_t queries = c.groups * c.group;
  if (head < queries) return head / c.group;
  EXPECT_EQ(heads, queries + 2 * c.groups);
  return (head - queries) % c.groups;
}

// Calls visit(position in [B, S, X, D], position in [B, N, X, D], weight) for every token that a gathered entry covers
// (shift 0) or writes to (its span less one), both cut at the end.
template <typename Visit>
void for_each_pair(const LighthouseCase& c, const Ints& indices, int64_t heads, bool scatter, const Visit& visit) {
  const LighthouseShape& s = c.shape;
  for (int64_t row = 0; row < c.batch * s.gathered() * heads; ++row) {
    const int64_t b = row / (s.gathered() * heads), m = row / heads % s.gathered(), h = row % heads;
    const int64_t number = indices[(b * c.groups + group_of(c, h, heads)) * s.gathered() + m];
    int64_t level = 0;
    while (number >= s.offset(level + 1)) ++level;
    const int64_t span = s.span(level), first = (number - s.offset(level)) * span + (scatter ? span - 1 : 0);
    for (int64_t token = first; token < std::min(first + span, s.sequence_length); ++token) {
      const double weight = scatter ? 1.0 : 1.0 / static_cast<double>(span);
      for (int64_t d = 0; d < kHeadDim; ++d) {
        visit(static_cast<size_t>(row * kHeadDim + d),
              static_cast<size_t>(((b * s.sequence_length + token) * heads + h) * kHeadDim + d), weight);
      }
    }
  }
}

// Both sides strided, slices of wider tensors, and poisoned.
struct Strided {
  Strided(const Shape& shape, int64_t before, int64_t after, uint32_t seed)
      : wide(random_floats({shape[0], shape[1], before + shape[2] + after, shape[3]}, seed)),
        view(wide.tensor.slice(2, before, before + shape[2])) {}

  void poison() { std::fill(wide.values.begin(), wide.values.end(), std::numeric_limits<float>::quiet_NaN()); }

  Floats wide;
  Tensor view;
};

TEST_F(LighthouseGatherTest, GatherAndItsTransposeAgainstTheirDefinition) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const LighthouseCase c = random_lighthouse_case(seed);
    const Selected selected = select(c, seed);
    const int64_t heads = c.groups * (c.group + 2);
    Strided x({c.batch, c.shape.sequence_length, heads, kHeadDim}, 1, 1, seed + 1);
    Strided y({c.batch, c.shape.gathered(), heads, kHeadDim}, 0, 1, seed + 2);
    std::vector<double> gather(static_cast<size_t>(y.view.numel())), transpose(static_cast<size_t>(x.view.numel()));
    const std::vector<double> x_values = values_of(x.view), y_values = values_of(y.view);
    for_each_pair(c, selected.indices, heads, false, [&](size_t row, size_t token, double weight) {
      gather[row] += weight * x_values[token];
      transpose[token] += weight * y_values[row];
    });
    Strided gathered(y.view.shape(), 0, 1, 0), dx(x.view.shape(), 2, 1, 0);
    gathered.poison();
    dx.poison();
    backend_->lighthouse_gather(stream_, gathered.view, x.view, selected, {}, {}, c.shape);
    ASSERT_TRUE(close(gathered.view, gather, 1e-6)) << "seed " << seed;
    backend_->lighthouse_gather_backward(stream_, dx.view, y.view, selected, {}, {}, c.shape);
    ASSERT_TRUE(close(dx.view, transpose, 1e-6)) << "seed " << seed;
  }
}

TEST_F(LighthouseGatherTest, ScatterAndItsTransposeAgainstTheirDefinition) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const LighthouseCase c = random_lighthouse_case(seed);
    const Selected selected = select(c, seed);
    const int64_t heads = c.groups * c.group;
    Strided x({c.batch, c.shape.sequence_length, heads, kHeadDim}, 1, 1, seed + 1);
    Strided y({c.batch, c.shape.gathered(), heads, kHeadDim}, 0, 1, seed + 2);
    std::vector<double> scatter(static_cast<size_t>(x.view.numel())), transpose(static_cast<size_t>(y.view.numel()));
    const std::vector<double> x_values = values_of(x.view), y_values = values_of(y.view);
    for_each_pair(c, selected.indices, heads, true, [&](size_t row, size_t token, double weight) {
      scatter[token] += weight * y_values[row];
      transpose[row] += weight * x_values[token];
    });
    Strided out(x.view.shape(), 2, 1, 0), dy(y.view.shape(), 0, 1, 0);
    out.poison();
    dy.poison();
    backend_->lighthouse_scatter(stream_, out.view, y.view, selected, c.shape);
    ASSERT_TRUE(close(out.view, scatter, 1e-6)) << "seed " << seed;
    backend_->lighthouse_scatter_backward(stream_, dy.view, x.view, selected, c.shape);
    ASSERT_TRUE(close(dy.view, transpose, 1e-5)) << "seed " << seed;
  }
}

// A gather with rotation equals rotation, then gather; its transpose equals the transpose, then rotation back.
TEST_F(LighthouseGatherTest, RotatesQueriesAndKeysOnTheWay) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const LighthouseCase c = random_lighthouse_case(seed);
    const Selected selected = select(c, seed);
    const int64_t n = c.shape.sequence_length, heads = c.groups * (c.group + 2), rotated = heads - c.groups;
    const Floats cos({n, kHeadDim / 2}), sin({n, kHeadDim / 2});
    backend_->rope_table(stream_, cos, sin, 10000);
    const Floats x = random_floats({c.batch, n, heads, kHeadDim}, seed + 1);
    const Floats y = random_floats({c.batch, c.shape.gathered(), heads, kHeadDim}, seed + 2);
    const Floats fused(y.tensor.shape()), apart(y.tensor.shape()), d_fused(x.tensor.shape()), d_apart(x.tensor.shape());
    backend_->lighthouse_gather(stream_, fused, x, selected, cos, sin, c.shape);
    backend_->lighthouse_gather_backward(stream_, d_fused, y, selected, cos, sin, c.shape);
    backend_->rope_forward(stream_, x.tensor.slice(2, 0, rotated), cos, sin);
    backend_->lighthouse_gather(stream_, apart, x, selected, {}, {}, c.shape);
    backend_->lighthouse_gather_backward(stream_, d_apart, y, selected, {}, {}, c.shape);
    backend_->rope_backward(stream_, d_apart.tensor.slice(2, 0, rotated), cos, sin);
    EXPECT_TRUE(close(fused, values_of(apart), 1e-6)) << "seed " << seed;
    EXPECT_TRUE(close(d_fused, values_of(d_apart), 1e-6)) << "seed " << seed;
  }
}

// With a window branch: half of the branches' sum, with the window's result in the output or elsewhere.
TEST_F(LighthouseGatherTest, ScatterBesideAWindowIsTheMeanOfBoth) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const LighthouseCase c = random_lighthouse_case(seed);
    const Selected selected = select(c, seed);
    const int64_t heads = c.groups * c.group;
    const Shape full{c.batch, c.shape.sequence_length, heads, kHeadDim};
    const Floats y = random_floats({c.batch, c.shape.gathered(), heads, kHeadDim}, seed + 1);
    const Floats window = random_floats(full, seed + 2);
    std::vector<double> expected = values_of(window);
    for_each_pair(c, selected.indices, heads, true,
                  [&](size_t row, size_t token, double weight) { expected[token] += weight * y.values[row]; });
    for (double& value : expected) value /= 2;

    const Floats apart(full), in_place = random_floats(full, seed + 2);
    backend_->lighthouse_scatter(stream_, apart, y, selected, c.shape, window);
    backend_->lighthouse_scatter(stream_, in_place, y, selected, c.shape, in_place);
    ASSERT_TRUE(close(apart, expected, 1e-6)) << "seed " << seed;
    EXPECT_EQ(in_place.values, apart.values) << "seed " << seed;
  }
}

TEST_F(LighthouseGatherTest, GatherBackwardBesideAWindowHalvesTheSumAndRotatesItBack) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const LighthouseCase c = random_lighthouse_case(seed);
    const Selected selected = select(c, seed);
    const int64_t heads = c.groups * (c.group + 2), length = c.shape.sequence_length, rotated = heads - c.groups;
    const Shape full{c.batch, length, heads, kHeadDim};
    Floats cos({length, kHeadDim / 2}), sin({length, kHeadDim / 2});
    backend_->rope_table(stream_, cos, sin, 50);
    const Floats y = random_floats({c.batch, c.shape.gathered(), heads, kHeadDim}, seed + 1);
    const Floats window = random_floats(full, seed + 2);
    Floats expected(full);
    std::vector<double> sum = values_of(window);
    for_each_pair(c, selected.indices, heads, false,
                  [&](size_t row, size_t token, double weight) { sum[token] += weight * y.values[row]; });
    for (size_t i = 0; i < sum.size(); ++i) expected.values[i] = static_cast<float>(sum[i] / 2);
    backend_->rope_backward(stream_, expected.tensor.slice(2, 0, rotated), cos, sin);

    const Floats apart(full);
    Strided in_place(full, 1, 1, 0);
    backend_->lighthouse_gather_backward(stream_, apart, y, selected, cos, sin, c.shape, window);
    for (int64_t b = 0; b < c.batch; ++b) {
      for (int64_t token = 0; token < length; ++token) {
        std::copy_n(window.tensor.select(0, b).select(0, token).data<float>(), heads * kHeadDim,
                    in_place.view.select(0, b).select(0, token).data<float>());
      }
    }
    backend_->lighthouse_gather_backward(stream_, in_place.view, y, selected, cos, sin, c.shape, in_place.view);
    ASSERT_TRUE(close(apart, values_of(expected), 2e-6)) << "seed " << seed;
    EXPECT_EQ(values_of(in_place.view), values_of(apart)) << "seed " << seed;
  }
}

// With a fixed selection, gather, attention and scatter are causal.
TEST_F(LighthouseGatherTest, ChangingATokenChangesNothingBeforeIt) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const LighthouseCase c = random_lighthouse_case(seed);
    const int64_t length = c.shape.sequence_length, rows = c.shape.gathered(), g = c.groups;
    const Selected selected = select(c, seed);
    Floats x = random_floats({c.batch, length, 3 * g, kHeadDim}, seed);
    const auto layer = [&] {
      const Floats qkv({c.batch, rows, 3 * g, kHeadDim}), ys({c.batch, rows, g, kHeadDim}), lse({c.batch, g, rows});
      Floats out({c.batch, length, g, kHeadDim});
      backend_->lighthouse_gather(stream_, qkv, x, selected, {}, {}, c.shape);
      const auto scratch = scratch_of(backend_->attention_forward_scratch(ys.tensor.shape(), g, false, 0));
      const auto heads = [&](int64_t begin) { return qkv.tensor.slice(2, begin, begin + g); };
      backend_->attention_forward(stream_, ys, lse, scratch, heads(0), heads(g), heads(2 * g));
      backend_->lighthouse_scatter(stream_, out, ys, selected, c.shape);
      return out.values;
    };
    const std::vector<float> before = layer();
    const int64_t token = static_cast<int64_t>(seed * 7919) % length, width = g * kHeadDim;
    for (int64_t i = 0; i < 3 * width; ++i) x[token * 3 * width + i] += 3.0f;
    const std::vector<float> after = layer();
    EXPECT_TRUE(std::equal(before.begin(), before.begin() + token * width, after.begin())) << "seed " << seed;
    EXPECT_NE(before, after) << "seed " << seed;
  }
}

}  // namespace
}  // namespace lighthouse
