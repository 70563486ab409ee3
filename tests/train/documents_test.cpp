// Whole runs whose attention stays inside documents, and one whose vocabulary has rows of no token.
#include <cmath>

#include "lighthouse/train/checkpoint.h"
#include "tiny_run.h"

namespace lighthouse {
namespace {

constexpr int32_t kEnd = 256;
constexpr int64_t kWindows = 12;
constexpr int64_t kWindow = 64;

/// A document of text that begins with the same letter as all others, and its end.
std::vector<int32_t> document(int64_t length, unsigned seed) {
  std::vector<int32_t> tokens = random_tokens(length, 256, seed);
  tokens.front() = 'A';
  tokens.back() = kEnd;
  return tokens;
}

/// Each window holds two documents, in one order or the other; the token after it begins the next window's.
std::vector<int32_t> windows_of_two(bool swapped) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < kWindows; ++i) {
    const auto seed = static_cast<unsigned>(2 * i);
    std::vector<int32_t> first = document(20, seed);
    std::vector<int32_t> second = document(kWindow - 20, seed + 1);
    if (swapped) std::swap(first, second);
    tokens.insert(tokens.end(), first.begin(), first.end());
    tokens.insert(tokens.end(), second.begin(), second.end());
  }
  tokens.push_back('A');
  return tokens;
}

/// Losses and gradient norms of a dense run on them.
std::vector<double> curve(DocumentMask mask, bool swapped) {
  const TemporaryFolder folder;
  RunConfig config = tiny_run(folder);
  write_shard(config.data.train[0].path, windows_of_two(swapped));
  write_shard(config.data.validation, windows_of_two(swapped));
  config.data.document_mask = mask;
  config.stages.erase(config.stages.begin());
  resolve_stages(config);
  Recorder recorder;
  train(config, recorder);
  std::vector<double> values;
  for (const StepMetrics& step : recorder.steps) {
    values.push_back(step.loss);
    values.push_back(step.gradient_norm);
  }
  for (const ValidationMetrics& validation : recorder.validations) values.push_back(validation.loss_dense);
  return values;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

// With rotary embeddings, which know distances alone, a document's loss and gradient are the same wherever it stands,
// unless something of its neighbour leaks into it.
TEST(DocumentRun, DoesNotDependOnTheOrderOfDocuments) {
  const std::vector<double> one = curve(DocumentMask::kAttention, false);
  ASSERT_GT(one.size(), 8U);
  EXPECT_LT(largest_difference(one, curve(DocumentMask::kAttention, true)), 1e-5);
}

TEST(DocumentRun, DependsOnItWithoutTheMask) {
  EXPECT_GT(largest_difference(curve(DocumentMask::kNone, false), curve(DocumentMask::kNone, true)), 1e-3);
}

/// The last `count` rows of a checkpoint's output matrix.
std::vector<float> last_output_rows(const RunConfig& config, int64_t step, int64_t count) {
  Arena measuring;
  lay_out_parameters(measuring, MemoryUse::kWeights, config.model);
  Arena arena(measuring.used());
  const Parameters weights = lay_out_parameters(arena, MemoryUse::kWeights, config.model);
  load_weights(checkpoint_of(config, step), weights, config.model);
  return floats_of(weights.lm_head.slice(0, config.model.vocab_size - count, config.model.vocab_size));
}

TEST(UnusedTokensRun, LeavesTheirRowsAlone) {
  const TemporaryFolder folder;
  RunConfig config = tiny_run(folder);
  config.model.vocab_size = 264;
  config.model.unused_tokens = 7;
  config.optimizer.weight_decay = 0;
  train(config);
  EXPECT_EQ(last_output_rows(config, 3, 7), last_output_rows(config, 9, 7));
  EXPECT_NE(last_output_rows(config, 3, 8), last_output_rows(config, 9, 8));
}

}  // namespace
}  // namespace lighthouse
