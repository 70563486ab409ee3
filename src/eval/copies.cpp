#include "lighthouse/eval/copies.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lighthouse/core/error.h"
#include "lighthouse/core/random.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/batch.h"
#include "lighthouse/ops/transfer.h"

namespace lighthouse {
namespace {

constexpr int64_t kHead = 32;
constexpr int64_t kFirstDistance = 1024;

/// The summed losses of the passage's parts.
struct PassageLoss {
  double head = 0;
  double rest = 0;
};

/// `losses`: of the passage's tokens.
PassageLoss passage_loss(std::span<const float> losses, int64_t head) {
  const PassageLoss loss{std::accumulate(losses.begin(), losses.begin() + head, 0.0),
                         std::accumulate(losses.begin() + head, losses.end(), 0.0)};
  if (!std::isfinite(loss.head + loss.rest)) {
    throw RunError("the model's losses are not finite; its weights may be damaged");
  }
  return loss;
}

/// Reads windows in variants: variant 0 is the original window, variant i has a copy at distances[i - 1].
class CopyReader {
 public:
  CopyReader(const CopyOptions& options, const WindowedSource& source, int64_t sequence_length)
      : options_(options),
        source_(source),
        sequence_length_(sequence_length),
        windows_(std::min(options.windows, source.windows())),
        order_(static_cast<uint64_t>(source.windows()), RandomStream(options.seed, "copies")) {}

  int64_t windows() const { return windows_; }
  int64_t variants() const { return 1 + std::ssize(options_.distances); }

  /// Reads row `row` of windows() * variants() into `out` (N+1 tokens). The variants of a window are consecutive.
  void read(int64_t row, std::span<int32_t> out) const {
    const auto window = static_cast<int64_t>(order_(static_cast<uint64_t>(row / variants())));
    source_.read(window, out);
    const int64_t variant = row % variants();
    if (variant == 0) return;
    plant_copy(out, options_.passage, options_.distances[static_cast<size_t>(variant - 1)]);
  }

  /// Rows [begin, end), of N+1 tokens each.
  std::vector<int32_t> read_rows(int64_t begin, int64_t end) const {
    const auto length = static_cast<size_t>(sequence_length_ + 1);
    std::vector<int32_t> tokens(static_cast<size_t>(end - begin) * length);
    for (int64_t row = begin; row < end; ++row) {
      read(row, std::span(tokens).subspan(static_cast<size_t>(row - begin) * length, length));
    }
    return tokens;
  }

 private:
  const CopyOptions& options_;
  const WindowedSource& source_;
  int64_t sequence_length_;
  int64_t windows_;
  Permutation order_;
};

/// The passage's loss in each row.
std::vector<PassageLoss> read_losses(const CopyOptions& options, const CopyReader& reader, ForwardPass& pass,
                                     const Parameters& weights, Backend& backend,
                                     const std::function<void(int64_t done, int64_t of)>& progress) {
  const Stream stream = backend.compute_stream();
  const int64_t batch = pass.inputs().size(0);
  const int64_t n = pass.inputs().size(1);
  const int64_t rows = reader.windows() * reader.variants();
  BatchFeed feed(backend, pass.inputs().numel());
  std::vector<PassageLoss> found;
  for (int64_t begin = 0; begin < rows; begin += batch) {
    const int64_t end = std::min(begin + batch, rows);
    feed.feed(stream, pass.inputs(), pass.targets(), reader.read_rows(begin, end));
    pass.model().forward(stream, weights, pass.inputs());
    pass.model().loss(stream, weights, pass.targets());
    const std::vector<float> losses = download<float>(backend, pass.model().losses());
    for (int64_t row = 0; row < end - begin; ++row) {
      const std::span of_row = std::span(losses).subspan(static_cast<size_t>(row * n), static_cast<size_t>(n));
      found.push_back(passage_loss(of_row.last(static_cast<size_t>(options.passage)), options.head()));
    }
    progress(end, rows);
  }
  return found;
}

/// Means over windows for one part of the passage, of `tokens` tokens.
class GainMeans {
 public:
  explicit GainMeans(int64_t tokens) : tokens_(static_cast<double>(tokens)) {}

  /// Adds one window, given the sums over the part.
  void add(double without, double with) {
    without_.add(without / tokens_);
    with_.add(with / tokens_);
    gain_.add((without - with) / tokens_);
  }
  CopyGain result() const { return {without_.estimate(), with_.estimate(), gain_.estimate()}; }

 private:
  double tokens_;
  RunningMean without_, with_, gain_;
};

/// `losses`: for each window, one for each variant. `variant`: the one with the distance in question.
CopyCell cell_of(const CopyOptions& options, const std::vector<PassageLoss>& losses, size_t variants, size_t variant) {
  GainMeans passage(options.passage);
  GainMeans head(options.head());
  GainMeans rest(options.passage - options.head());
  for (size_t first = 0; first < losses.size(); first += variants) {
    const PassageLoss& without = losses[first];
    const PassageLoss& with = losses[first + variant];
    passage.add(without.head + without.rest, with.head + with.rest);
    head.add(without.head, with.head);
    rest.add(without.rest, with.rest);
  }
  return {options.distances[variant - 1], passage.result(), head.result(), rest.result()};
}

}  // namespace

int64_t CopyOptions::head() const {
  return std::min(kHead, passage / 2);
}

int64_t CopyOptions::farthest(int64_t sequence_length) const {
  return sequence_length + 1 - passage;
}

void CopyOptions::check(int64_t sequence_length) const {
  if (windows < 1) throw InputError(fmt::format("windows is {}; expected at least 1", windows));
  if (passage < 2) throw InputError(fmt::format("passage is {} tokens; expected at least 2", passage));
  const int64_t last = farthest(sequence_length);
  if (last < passage) {
    throw InputError(
        fmt::format("a passage of {} tokens and its copy do not fit into a sequence length of {}; use passages of at "
                    "most {} tokens or longer sequences",
                    format_count(passage), format_count(sequence_length), format_count((sequence_length + 1) / 2)));
  }
  if (distances.empty()) throw InputError("the copy test needs at least one distance");
  for (const int64_t distance : distances) {
    if (distance < passage) {
      throw InputError(
          fmt::format("a distance of {} tokens is shorter than the passage, {}: the copy would overlap it; use "
                      "distances from {} to {}, or shorter passages",
                      format_count(distance), format_count(passage), format_count(passage), format_count(last)));
    }
    if (distance > last) {
      throw InputError(
          fmt::format("a distance of {} tokens is too long for a sequence length of {} with a passage of {}; use "
                      "distances from {} to {}, or longer sequences",
                      format_count(distance), format_count(sequence_length), format_count(passage),
                      format_count(passage), format_count(last)));
    }
  }
}

std::vector<int64_t> default_distances(int64_t sequence_length, int64_t passage) {
  CopyOptions options;
  options.passage = passage;
  const int64_t farthest = options.farthest(sequence_length) / kFirstDistance * kFirstDistance;
  std::vector<int64_t> distances;
  for (int64_t distance = kFirstDistance; distance <= farthest; distance *= 2) {
    if (distance >= passage) distances.push_back(distance);
  }
  if (!distances.empty() && distances.back() < farthest) distances.push_back(farthest);
  return distances;
}

void plant_copy(std::span<int32_t> window, int64_t passage, int64_t distance) {
  const auto from = window.last(static_cast<size_t>(passage));
  const auto to = window.subspan(window.size() - static_cast<size_t>(passage + distance), from.size());
  std::copy(from.begin(), from.end(), to.begin());
}

CopyLosses test_copies(const CopyOptions& options, ForwardPass& pass, const Parameters& weights,
                       const WindowedSource& source, Backend& backend,
                       const std::function<void(int64_t done, int64_t of)>& progress) {
  const int64_t length = pass.inputs().size(1);
  options.check(length);
  const CopyReader reader(options, source, length);
  const std::vector<PassageLoss> losses = read_losses(options, reader, pass, weights, backend, progress);
  CopyLosses result{reader.windows(), {}};
  const auto variants = static_cast<size_t>(reader.variants());
  for (size_t variant = 1; variant < variants; ++variant) {
    result.cells.push_back(cell_of(options, losses, variants, variant));
  }
  return result;
}

}  // namespace lighthouse
