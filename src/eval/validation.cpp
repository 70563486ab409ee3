#include "lighthouse/eval/validation.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "lighthouse/ops/transfer.h"

namespace lighthouse {

namespace {

/// Calls visit(losses) for windows [first, last) of the `count` windows spaced evenly over the source.
void visit_windows(Llama& model, const Parameters& weights, const WindowedSource& source, int64_t count, int64_t first,
                   int64_t last, const Tensor& inputs, const Tensor& targets, BatchFeed& feed, Backend& backend,
                   const WindowLosses& visit) {
  const Stream stream = backend.compute_stream();
  const int64_t batch = inputs.size(0);
  const int64_t n = inputs.size(1);
  for (int64_t begin = first; begin < last; begin += batch) {
    const int64_t rows = std::min(batch, last - begin);
    std::vector<int32_t> tokens(static_cast<size_t>(rows * (n + 1)));
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t window = (begin + row) * source.windows() / count;
      source.read(window, std::span(tokens).subspan(static_cast<size_t>(row * (n + 1)), static_cast<size_t>(n + 1)));
    }
    feed.feed(stream, inputs, targets, tokens);
    model.forward(stream, weights, inputs);
    model.loss(stream, weights, targets);
    const std::vector<float> losses = download<float>(backend, model.losses());
    for (int64_t row = 0; row < rows; ++row) {
      visit(std::span(losses).subspan(static_cast<size_t>(row * n), static_cast<size_t>(n)));
    }
  }
}

}  // namespace

int64_t evaluate_windows(Llama& model, const Parameters& weights, const WindowedSource& source, int64_t windows,
                         const Tensor& inputs, const Tensor& targets, BatchFeed& feed, Backend& backend,
                         const WindowLosses& visit) {
  const int64_t count = std::min(windows, source.windows());
  visit_windows(model, weights, source, count, 0, count, inputs, targets, feed, backend, visit);
  return count;
}

std::vector<double> window_losses(Llama& model, const Parameters& weights, const WindowedSource& source,
                                  int64_t windows, int64_t first, int64_t last, const Tensor& inputs,
                                  const Tensor& targets, BatchFeed& feed, Backend& backend) {
  std::vector<double> sums;
  visit_windows(
      model, weights, source, std::min(windows, source.windows()), first, last, inputs, targets, feed, backend,
      [&](std::span<const float> losses) { sums.push_back(std::accumulate(losses.begin(), losses.end(), 0.0)); });
  return sums;
}

double validation_loss(Llama& model, const Parameters& weights, const WindowedSource& source, int64_t windows,
                       const Tensor& inputs, const Tensor& targets, BatchFeed& feed, Backend& backend) {
  double sum = 0;
  const int64_t count = evaluate_windows(
      model, weights, source, windows, inputs, targets, feed, backend,
      [&](std::span<const float> losses) { sum = std::accumulate(losses.begin(), losses.end(), sum); });
  return sum / static_cast<double>(count * inputs.size(1));
}

}  // namespace lighthouse
