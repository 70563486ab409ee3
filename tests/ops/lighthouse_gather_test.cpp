#include <algorithm>

#include "lighthouse_test_shapes.h"

namespace lighthouse {
namespace {

constexpr int64_t kHeadDim = 8;

struct Selection {
  Ints indices, rows;
};

class LighthouseGatherTest : public OpTest {
 protected:
  Selection select(const LighthouseCase& c, uint32_t seed) {
    Selection result{Ints({c.batch, c.groups, c.shape.gathered()}), Ints({c.batch, c.groups, c.shape.all_entries()})};
    const Shape scores{c.batch, c.groups, c.shape.scored_entries()};
    backend_->lighthouse_select(stream_, result.indices, tied_scores(scores, seed), tied_scores(scores, seed + 1),
                                c.shape);
    backend_->lighthouse_invert(stream_, result.rows, result.indices, c.shape);
    return result;
  }
};

// Calls visit(position in [B, S, X, D], position in [B, N, X, D], weight) for every token that a gathered entry covers
// (shift 0) or writes to (its span less one), both cut at the end.
template <typename Visit>
void for_each_pair(const LighthouseCase& c, const Ints& indices, int64_t heads, bool scatter, const Visit& visit) {
  const LighthouseShape& s = c.shape;
  for (int64_t row = 0; row < c.batch * s.gathered() * heads; ++row) {
    const int64_t b = row / (s.gathered() * heads), m = row / heads % s.gathered(), h = row % heads;
    const int64_t number = indices[(b * c.groups + h / (heads / c.groups)) * s.gathered() + m];
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

TEST_F(LighthouseGatherTest, FourOperationsAgainstTheirDefinition) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const LighthouseCase c = random_lighthouse_case(seed);
    const Selection selection = select(c, seed);
    for (const int64_t heads : {c.groups, c.groups * c.group}) {
      const Shape full{c.batch, c.shape.sequence_length, heads, kHeadDim};
      const Shape gathered{c.batch, c.shape.gathered(), heads, kHeadDim};
      // Both sides strided: slices of wider tensors.
      const Floats x_wide = random_floats({full[0], full[1], heads + 2, kHeadDim}, seed + 1);
      const Floats y_wide = random_floats({gathered[0], gathered[1], heads + 1, kHeadDim}, seed + 2);
      const Tensor x = x_wide.tensor.slice(2, 1, 1 + heads), y = y_wide.tensor.slice(2, 0, heads);
      const std::vector<double> x_values = values_of(x), y_values = values_of(y);
      std::vector<double> gather(y_values.size()), gather_t(x_values.size()), scatter(x_values.size()),
          scatter_t(y_values.size());
      for_each_pair(c, selection.indices, heads, false, [&](size_t row, size_t token, double weight) {
        gather[row] += weight * x_values[token];
        gather_t[token] += weight * y_values[row];
      });
      for_each_pair(c, selection.indices, heads, true, [&](size_t row, size_t token, double weight) {
        scatter[token] += weight * y_values[row];
        scatter_t[row] += weight * x_values[token];
      });
      Floats small(gathered), large({full[0], full[1], heads + 3, kHeadDim});
      const Tensor large_view = large.tensor.slice(2, 2, 2 + heads);
      backend_->lighthouse_gather(stream_, small, x, selection.indices, c.shape);
      ASSERT_TRUE(close(small, gather, 1e-6)) << "seed " << seed;
      backend_->lighthouse_gather_backward(stream_, large_view, y, selection.rows, c.shape);
      ASSERT_TRUE(close(large_view, gather_t, 1e-6)) << "seed " << seed;
      backend_->fill(stream_, large, std::numeric_limits<float>::quiet_NaN());
      backend_->lighthouse_scatter(stream_, large_view, y, selection.rows, c.shape);
      ASSERT_TRUE(close(large_view, scatter, 1e-6)) << "seed " << seed;
      backend_->fill(stream_, small, std::numeric_limits<float>::quiet_NaN());
      backend_->lighthouse_scatter_backward(stream_, small, x, selection.indices, c.shape);
      ASSERT_TRUE(close(small, scatter_t, 1e-5)) << "seed " << seed;
    }
  }
}

// With the selection held fixed, no value flows back in time: through gather, attention and scatter.
TEST_F(LighthouseGatherTest, ChangingATokenChangesNothingBeforeIt) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const LighthouseCase c = random_lighthouse_case(seed);
    const int64_t length = c.shape.sequence_length, rows = c.shape.gathered();
    const Selection selection = select(c, seed);
    Floats x = random_floats({c.batch, length, c.groups, kHeadDim}, seed);
    const auto layer = [&] {
      const Shape gathered{c.batch, rows, c.groups, kHeadDim};
      Floats xs(gathered), ys(gathered), lse({c.batch, c.groups, rows}), out(x.tensor.shape());
      backend_->lighthouse_gather(stream_, xs, x, selection.indices, c.shape);
      const auto scratch = scratch_of(backend_->attention_forward_scratch(gathered, c.groups));
      backend_->attention_forward(stream_, ys, lse, scratch, xs, xs, xs);
      backend_->lighthouse_scatter(stream_, out, ys, selection.rows, c.shape);
      return out.values;
    };
    const std::vector<float> before = layer();
    const int64_t token = static_cast<int64_t>(seed * 7919) % length, width = c.groups * kHeadDim;
    for (int64_t i = 0; i < width; ++i) x[token * width + i] += 3.0f;
    const std::vector<float> after = layer();
    EXPECT_TRUE(std::equal(before.begin(), before.begin() + token * width, after.begin())) << "seed " << seed;
    EXPECT_NE(before, after) << "seed " << seed;
  }
}

}  // namespace
}  // namespace lighthouse
