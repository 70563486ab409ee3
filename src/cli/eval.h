// lighthouse eval: what its tests share.
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

  // Loss, and copies
  std::string data;             // "": each run's validation data
  int64_t sequence_length = 0;  // 0: each run's
  int64_t windows = 0;          // 0: the test's default
  int64_t batch = 1;
  int64_t ranges = 0;  // 0: doubling

  // Retrieval
  bool retrieval = false;
  std::vector<int64_t> lengths;  // empty: from each run's, halved again and again
  int64_t depths = 7;
  int64_t trials = 10;
  int64_t seed = 42;  // of copies too
  std::filesystem::path filler;
  std::string tokenizer;  // "": where each model's config says

  // Copies
  bool copies = false;
  int64_t passage = 512;
  std::vector<int64_t> distances;  // empty: doubling, up to what each run's sequence length has space for
};

AttentionKind attention_of(const EvalOptions& options);

/// The shards that a model is evaluated on. Throws InputError if neither the options nor its run name any.
std::string data_of(const EvalOptions& options, const ModelCard& card);
int64_t sequence_length_of(const EvalOptions& options, const ModelCard& card);
/// Attention over the whole sequence. Throws InputError if the attention is impossible at this length.
PassSettings pass_of(const EvalOptions& options, const ModelCard& card, int64_t length);
/// "1.2345 ±0.0123"; without the error if it is 0.
std::string estimate_text(const Estimate& estimate);

void eval_loss(const EvalOptions& options, Backend& backend, const StopSignal& stop);
void eval_retrieval(const EvalOptions& options, Backend& backend, const StopSignal& stop);
void eval_copies(const EvalOptions& options, Backend& backend, const StopSignal& stop);

}  // namespace lighthouse
