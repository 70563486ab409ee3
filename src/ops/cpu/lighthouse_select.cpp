#include <algorithm>
#include <limits>

#include "cpu_backend.h"

namespace lighthouse::cpu {
namespace {

// Orders entries of one level: the larger score first, then the lower index. A NaN counts as minus infinity. The order
// is total, so the selection does not depend on the algorithm.
struct RanksBefore {
  const float* scores;  // scores[e] is the score of entry number e

  float score(int32_t entry) const {
    const float s = scores[entry];
    return s == s ? s : -std::numeric_limits<float>::infinity();
  }
  bool operator()(int32_t a, int32_t b) const {
    const float score_a = score(a), score_b = score(b);
    return score_a != score_b ? score_a > score_b : a < b;
  }
};

// Orders gathered entries: by the last token covered, then the finer level first.
class ComesBefore {
 public:
  explicit ComesBefore(const LighthouseShape& shape) : length_(shape.sequence_length), pooling_(shape.pooling_factor) {}

  bool operator()(int32_t a, int32_t b) const {
    const int64_t end_a = end_of(a), end_b = end_of(b);
    return end_a != end_b ? end_a < end_b : a < b;  // coarser levels have larger numbers
  }

 private:
  int64_t end_of(int64_t entry) const {
    int64_t span = 1, entries = length_;
    for (; entry >= entries; entries /= pooling_, span *= pooling_) entry -= entries;
    return (entry + 1) * span;
  }

  int64_t length_;
  int64_t pooling_;
};

// Moves the entries to expand to the front of [first, last): half a tile by s_q, then half a tile by s_k from the rest.
// `origin` is the number of the level's entry 0 in the tile at the sequence's start, else -1.
void expand(int32_t* first, int32_t* last, int64_t half, RanksBefore by_query, RanksBefore by_key, int32_t origin) {
  std::nth_element(first, first + half - 1, last, by_query);
  if (origin >= 0) {
    int32_t* place = std::find(first, last, origin);
    if (place >= first + half) std::swap(*place, first[half - 1]);  // nth_element put the last of the first half there
  }
  std::nth_element(first + half, first + 2 * half - 1, last, by_key);
}

// Writes one tile's gathered entries, in causal order. The tile's segment of the output first holds the candidates of
// the coarsest level, then those of the next, and so on. These are the gathered entries, so no other memory is needed.
void select_tile(int32_t* segment, const float* s_q, const float* s_k, int64_t tile_index,
                 const LighthouseShape& shape) {
  int64_t count = shape.entries(shape.levels - 1) / shape.tiles();
  int32_t* candidates = segment;
  for (int64_t i = 0; i < count; ++i) {
    candidates[i] = static_cast<int32_t>(shape.offset(shape.levels - 1) + tile_index * count + i);
  }
  for (int64_t level = shape.levels - 1; level > 0; --level) {
    const int64_t offset = shape.offset(level), below = shape.offset(level - 1), pooling = shape.pooling_factor;
    const bool keep_prefix = shape.cover_prefix && tile_index == 0;
    expand(candidates, candidates + count, shape.tile / 2, {s_q - shape.sequence_length}, {s_k - shape.sequence_length},
           keep_prefix ? static_cast<int32_t>(offset) : -1);
    int32_t* children = candidates + count;
    for (int64_t i = 0; i < shape.tile; ++i) {
      for (int64_t child = 0; child < pooling; ++child) {
        children[i * pooling + child] = static_cast<int32_t>(below + (candidates[i] - offset) * pooling + child);
      }
    }
    candidates = children;
    count = shape.tile * pooling;
  }
  std::sort(segment, segment + shape.gathered_per_tile(), ComesBefore(shape));
}

}  // namespace

void CpuBackend::do_lighthouse_select(const Stream& stream, const LighthouseSelection& selection, const Tensor& s_q,
                                      const Tensor& s_k, const LighthouseShape& shape) {
  const Tensor& indices = selection.indices;
  const int64_t tiles = shape.tiles(), scored = shape.scored_entries(), segment = shape.gathered_per_tile();
  int32_t* out = indices.data<int32_t>();
  const float *queries = s_q.data<float>(), *keys = s_k.data<float>();
#pragma omp parallel for schedule(dynamic)
  for (int64_t task = 0; task < indices.size(0) * indices.size(1) * tiles; ++task) {
    const int64_t sequence = task / tiles;
    select_tile(out + task * segment, queries + sequence * scored, keys + sequence * scored, task % tiles, shape);
  }
  do_lighthouse_invert(stream, selection, shape);
}

void CpuBackend::do_lighthouse_invert(const Stream&, const LighthouseSelection& selection,
                                      const LighthouseShape& shape) {
  const Tensor &rows = selection.rows, &indices = selection.indices;
  const int64_t entries = shape.all_entries(), gathered = shape.gathered();
  const int64_t sequences = indices.size(0) * indices.size(1);
  int32_t* row_of = rows.data<int32_t>();
  const int32_t* entry = indices.data<int32_t>();
#pragma omp parallel
  {
#pragma omp for simd schedule(static)
    for (int64_t i = 0; i < sequences * entries; ++i) row_of[i] = -1;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < sequences * gathered; ++i) {
      row_of[i / gathered * entries + entry[i]] = static_cast<int32_t>(i % gathered);
    }
  }
}

}  // namespace lighthouse::cpu
