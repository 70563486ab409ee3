// lighthouse eval: the parts that its tests share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "lighthouse/core/stop_signal.h"
#include "lighthouse/eval/running_mean.h"
#include "lighthouse/model/llama.h"
#include "lighthouse/ops/backend.h"
#include "trained_model.h"

namespace lighthouse {

struct EvalOptions {
  std::vector<std::string> checkpoints;
  std::string attention = "dense";
  std::string device = "auto";
  std::string dtype = "auto";
  std::filesystem::path out;  // "": no files

  // Loss and copy tests.
  std::string data;             // "": each run's validation data
  int64_t sequence_length = 0;  // 0: each run's
  int64_t windows = 0;          // 0: the test's default
  int64_t batch = 1;
  int64_t ranges = 0;  // 0: doubling

  // Retrieval test.
  bool retrieval = false;
  std::vector<int64_t> lengths;  // empty: each run's sequence length, and halves of it down to 1/16
  int64_t depths = 7;
  int64_t trials = 10;
  int64_t seed = 42;  // also of the copy test
  std::filesystem::path filler;
  std::string tokenizer;  // "": the path in each model's config

  // Copy test.
  bool copies = false;
  int64_t passage = 512;
  std::vector<int64_t> distances;  // empty: doubling distances, up to the largest that fits each run's sequence length
};

AttentionKind attention_of(const EvalOptions& options);

/// The pattern of shards to evaluate a model on. Throws InputError if neither the options nor its run name one.
std::string data_of(const EvalOptions& options, const ModelCard& card);
int64_t sequence_length_of(const EvalOptions& options, const ModelCard& card);
/// The settings of a forward pass without document mask. Throws InputError if the attention is not valid for this
/// length.
PassSettings pass_of(const EvalOptions& options, const ModelCard& card, int64_t length);
/// "1.2345 ±0.0123"; without the error if that is 0.
std::string estimate_text(const Estimate& estimate);

void eval_loss(const EvalOptions& options, Backend& backend, const StopSignal& stop);
void eval_retrieval(const EvalOptions& options, Backend& backend, const StopSignal& stop);
void eval_copies(const EvalOptions& options, Backend& backend, const StopSignal& stop);

}  // namespace lighthouse
