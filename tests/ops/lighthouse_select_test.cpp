#include <algorithm>
#include <set>

#include "attention_reference.h"
#include "lighthouse_test_shapes.h"

namespace lighthouse {
namespace {

struct Entry {
  int64_t level, index;
  friend auto operator<=>(const Entry&, const Entry&) = default;
};

int64_t last_token(const LighthouseShape& s, const Entry& e) {
  return (e.index + 1) * s.span(e.level) - 1;
}
int32_t number_of(const LighthouseShape& s, const Entry& e) {
  return static_cast<int32_t>(s.offset(e.level) + e.index);
}

// The specification, literally, for one (batch, group): full sorts and sets, no code of the backend.
class BruteForce {
 public:
  BruteForce(const LighthouseShape& shape, const float* s_q, const float* s_k) : s_(shape), q_(s_q), k_(s_k) {}

  std::vector<int32_t> select() const {
    std::vector<Entry> gathered;
    for (int64_t tile = 0; tile < s_.tiles(); ++tile) select_tile(tile, gathered);
    std::sort(gathered.begin(), gathered.end(), [&](const Entry& a, const Entry& b) {
      return std::pair(last_token(s_, a), a.level) < std::pair(last_token(s_, b), b.level);
    });
    std::vector<int32_t> numbers;
    for (const Entry& e : gathered) numbers.push_back(number_of(s_, e));
    return numbers;
  }

 private:
  std::vector<Entry> ranked(std::vector<Entry> entries, const float* scores) const {
    const auto key = [&](const Entry& e) {
      const float score = scores[number_of(s_, e) - s_.sequence_length];
      return std::pair(std::isnan(score) ? std::numeric_limits<float>::infinity() : -score, e.index);
    };
    std::sort(entries.begin(), entries.end(), [&](const Entry& a, const Entry& b) { return key(a) < key(b); });
    return entries;
  }

  std::set<Entry> expanded(const std::vector<Entry>& candidates, bool first_tile) const {
    const auto half = static_cast<size_t>(s_.tile / 2);
    std::vector<Entry> a = ranked(candidates, q_);
    a.resize(half);
    const Entry origin{candidates.front().level, 0};
    if (s_.cover_prefix && first_tile && std::find(a.begin(), a.end(), origin) == a.end()) a.back() = origin;
    std::set<Entry> result(a.begin(), a.end());
    std::vector<Entry> others;
    std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(others),
                 [&](const Entry& e) { return !result.contains(e); });
    others = ranked(others, k_);
    result.insert(others.begin(), others.begin() + static_cast<std::ptrdiff_t>(half));
    return result;
  }

  void select_tile(int64_t tile, std::vector<Entry>& gathered) const {
    const int64_t share = s_.entries(s_.levels - 1) / s_.tiles();
    std::vector<Entry> candidates;
    for (int64_t i = 0; i < share; ++i) candidates.push_back({s_.levels - 1, tile * share + i});
    for (int64_t level = s_.levels - 1; level > 0; --level) {
      gathered.insert(gathered.end(), candidates.begin(), candidates.end());
      std::vector<Entry> children;
      for (const Entry& e : expanded(candidates, tile == 0)) {
        for (int64_t c = 0; c < s_.pooling_factor; ++c)
          children.push_back({level - 1, e.index * s_.pooling_factor + c});
      }
      candidates = children;
    }
    gathered.insert(gathered.end(), candidates.begin(), candidates.end());
  }

  const LighthouseShape& s_;
  const float *q_, *k_;
};

class LighthouseSelectTest : public OpTest {};

TEST_F(LighthouseSelectTest, AgreesWithBruteForce) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    const LighthouseCase c = random_lighthouse_case(seed);
    const Shape scores{c.batch, c.groups, c.shape.scored_entries()};
    const Floats s_q = tied_scores(scores, seed + 1000), s_k = tied_scores(scores, seed + 2000);
    const Selected selected(c);
    backend_->lighthouse_select(stream_, selected, s_q, s_k, c.shape);
    for (int64_t sequence = 0; sequence < c.batch * c.groups; ++sequence) {
      const int64_t at = sequence * c.shape.scored_entries(), from = sequence * c.shape.gathered();
      const std::vector<int32_t> expected = BruteForce(c.shape, &s_q[at], &s_k[at]).select();
      const int32_t* indices = &selected.indices[from];
      const std::vector<int32_t> actual(indices, indices + c.shape.gathered());
      ASSERT_EQ(actual, expected) << "seed " << seed;
    }
  }
}

TEST_F(LighthouseSelectTest, IndicesAreDistinctAndInvertible) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const LighthouseCase c = random_lighthouse_case(seed);
    const Shape scores{c.batch, c.groups, c.shape.scored_entries()};
    const Selected selected(c), inverted(c);
    const Floats nothing = constant_floats(scores, std::numeric_limits<float>::quiet_NaN());
    backend_->lighthouse_select(stream_, selected, nothing, tied_scores(scores, seed), c.shape);
    backend_->lighthouse_invert(stream_, {selected.indices, inverted.rows}, c.shape);
    ASSERT_EQ(inverted.rows.values, selected.rows.values);
    for (int64_t sequence = 0; sequence < c.batch * c.groups; ++sequence) {
      int64_t found = 0;
      for (int64_t entry = 0; entry < c.shape.all_entries(); ++entry) {
        const int64_t row = selected.rows[sequence * c.shape.all_entries() + entry];
        if (row == -1) continue;
        ++found;
        ASSERT_TRUE(row >= 0 && row < c.shape.gathered());
        ASSERT_EQ(selected.indices[sequence * c.shape.gathered() + row], entry);
      }
      ASSERT_EQ(found, c.shape.gathered());
    }
  }
}

// Without cover_prefix some case leaves a position that no entry writes to; with it none does.
TEST_F(LighthouseSelectTest, CoverPrefixLeavesNoPositionUncovered) {
  int64_t uncovered[2] = {0, 0};
  for (uint32_t seed = 0; seed < 200; ++seed) {
    LighthouseCase c = random_lighthouse_case(seed);
    for (const bool cover : {false, true}) {
      c.shape.cover_prefix = cover;
      const Shape scores{1, 1, c.shape.scored_entries()};
      const Selected selected(c.shape, 1, 1);
      backend_->lighthouse_select(stream_, selected, tied_scores(scores, seed), tied_scores(scores, seed + 1), c.shape);
      Floats out({1, c.shape.sequence_length, 1, 8});
      backend_->lighthouse_scatter(stream_, out, constant_floats({1, c.shape.gathered(), 1, 8}, 1.0f), selected,
                                   c.shape);
      for (int64_t token = 0; token < c.shape.sequence_length; ++token) uncovered[cover] += out[token * 8] == 0.0f;
    }
  }
  EXPECT_GT(uncovered[0], 0);
  EXPECT_EQ(uncovered[1], 0);
}

// ---- Scores ----

// tokens: [B, G, N] scores of level 0.
std::vector<double> pooled(const std::vector<float>& tokens, const LighthouseShape& s) {
  std::vector<double> result;
  const auto length = static_cast<size_t>(s.sequence_length);
  for (size_t sequence = 0; sequence < tokens.size() / length; ++sequence) {
    for (int64_t level = 1; level < s.levels; ++level) {
      for (int64_t i = 0; i < s.entries(level); ++i) {
        float largest = -std::numeric_limits<float>::infinity();
        for (int64_t t = i * s.span(level); t < (i + 1) * s.span(level); ++t) {
          largest = std::fmax(largest, tokens[sequence * length + static_cast<size_t>(t)]);
        }
        result.push_back(largest);
      }
    }
  }
  return result;
}

// The largest norm over each group's heads: [B, G, N] from [B, N, X, D].
std::vector<float> token_norms(const std::vector<double>& x, int64_t batch, int64_t groups, int64_t share,
                               int64_t head_dim, int64_t length) {
  std::vector<float> result;
  for (int64_t row = 0; row < batch * groups * length; ++row) {
    const int64_t b = row / (groups * length), g = row / length % groups, n = row % length;
    float largest = -std::numeric_limits<float>::infinity();
    for (int64_t h = g * share; h < (g + 1) * share; ++h) {
      const double* head = &x[static_cast<size_t>(((b * length + n) * groups * share + h) * head_dim)];
      largest = std::fmax(largest, std::sqrt(static_cast<float>(inner(head, head, head_dim))));
    }
    result.push_back(largest);
  }
  return result;
}

TEST_F(LighthouseSelectTest, NormScores) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const LighthouseCase c = random_lighthouse_case(seed);
    const int64_t length = c.shape.sequence_length, heads = c.groups * c.group, head_dim = 24;
    Floats qk = random_floats({c.batch, length, heads + c.groups, head_dim}, seed);
    qk[static_cast<int64_t>(seed) * 8] = std::numeric_limits<float>::quiet_NaN();
    const Tensor q = qk.tensor.slice(2, 0, heads), k = qk.tensor.slice(2, heads, heads + c.groups);
    Floats s_q({c.batch, c.groups, c.shape.scored_entries()}), s_k(s_q.tensor.shape());
    backend_->lighthouse_norm_scores(stream_, s_q, s_k, q, k, c.shape);
    const auto of = [&](const Tensor& x, int64_t share) {
      return pooled(token_norms(values_of(x), c.batch, c.groups, share, head_dim, length), c.shape);
    };
    EXPECT_EQ(values_of(s_q), of(q, c.group)) << "seed " << seed;
    EXPECT_EQ(values_of(s_k), of(k, 1)) << "seed " << seed;
  }
}

// Row j of dilated attention sees the tokens j, j - d, j - 2d, ...
std::vector<double> dilated_attention(const std::vector<double>& q, const std::vector<double>& k,
                                      const std::vector<double>& v, const AttentionSizes& s, int64_t dilation) {
  const AttentionSizes part{s.batch, s.length / dilation, s.heads, s.heads, s.head_dim};
  const int64_t width = s.heads * s.head_dim;
  std::vector<double> out(q.size());
  for (int64_t stream = 0; stream < dilation; ++stream) {
    const auto pick = [&](const std::vector<double>& x) {
      std::vector<double> rows;
      for (int64_t row = stream; row < s.batch * s.length; row += dilation) {
        rows.insert(rows.end(), x.begin() + row * width, x.begin() + (row + 1) * width);
      }
      return rows;
    };
    const std::vector<double> rows = reference_attention(part, pick(q), pick(k), pick(v), {}).out;
    for (int64_t i = 0; i < s.batch * part.length; ++i) {
      std::copy_n(rows.begin() + i * width, width, out.begin() + (i * dilation + stream) * width);
    }
  }
  return out;
}

// [B, N, G, D] -> [B, N, G group, D]
std::vector<double> repeated(const std::vector<double>& x, int64_t group, int64_t head_dim) {
  std::vector<double> result;
  for (size_t at = 0; at < x.size(); at += static_cast<size_t>(head_dim)) {
    for (int64_t copy = 0; copy < group; ++copy) {
      result.insert(result.end(), x.begin() + static_cast<std::ptrdiff_t>(at),
                    x.begin() + static_cast<std::ptrdiff_t>(at) + head_dim);
    }
  }
  return result;
}

TEST_F(LighthouseSelectTest, DilatedScores) {
  for (uint32_t seed = 0; seed < 12; ++seed) {
    const LighthouseCase c = random_lighthouse_case(seed);
    const int64_t length = c.shape.sequence_length, heads = c.groups * c.group, head_dim = 8;
    const int64_t dilation = c.shape.pooling_factor == 3 ? 3 : 2;
    const AttentionSizes sizes{c.batch, length, heads, heads, head_dim};
    const Floats q = random_floats({c.batch, length, heads, head_dim}, seed);
    const Floats k = random_floats({c.batch, length, c.groups, head_dim}, seed + 1);
    const Floats v = random_floats({c.batch, length, c.groups, head_dim}, seed + 2);
    Floats s_q({c.batch, c.groups, c.shape.scored_entries()}), s_k(s_q.tensor.shape());
    const auto scratch =
        scratch_of(backend_->lighthouse_dilated_scores_scratch(q.tensor.shape(), c.groups, dilation, c.shape));
    backend_->lighthouse_dilated_scores(stream_, s_q, s_k, scratch, q, k, v, dilation, c.shape);
    const std::vector<double> queries = values_of(q), keys = repeated(values_of(k), c.group, head_dim);
    const std::vector<double> values = repeated(values_of(v), c.group, head_dim);
    const auto scores_of = [&](const std::vector<double>& out) {
      return pooled(token_norms(out, c.batch, c.groups, c.group, head_dim, length), c.shape);
    };
    EXPECT_TRUE(close(s_q, scores_of(dilated_attention(queries, keys, values, sizes, dilation)), 1e-5));
    EXPECT_TRUE(close(s_k, scores_of(dilated_attention(keys, queries, values, sizes, dilation)), 1e-5));
  }
}

}  // namespace
}  // namespace lighthouse
