#include "lighthouse/eval/validation.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "lighthouse/ops/transfer.h"

namespace lighthouse {

std::vector<double> window_losses(Llama& model, const Parameters& weights, const WindowedSource& source,
                                  int64_t windows, int64_t first, int64_t last, const Tensor& inputs,
                                  const Tensor& targets, BatchFeed& feed, Backend& backend) {
  const Stream stream = backend.compute_stream();
  const int64_t batch = inputs.size(0);
  const int64_t n = inputs.size(1);
  const int64_t count = std::min(windows, source.windows());
  std::vector<double> sums;
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
      const auto window = losses.begin() + row * n;
      sums.push_back(std::accumulate(window, window + n, 0.0));
    }
  }
  return sums;
}

double validation_loss(Llama& model, const Parameters& weights, const WindowedSource& source, int64_t windows,
                       const Tensor& inputs, const Tensor& targets, BatchFeed& feed, Backend& backend) {
  const int64_t count = std::min(windows, source.windows());
  const std::vector<double> sums =
      window_losses(model, weights, source, windows, 0, count, inputs, targets, feed, backend);
  return std::accumulate(sums.begin(), sums.end(), 0.0) / static_cast<double>(count * inputs.size(1));
}

}  // namespace lighthouse
