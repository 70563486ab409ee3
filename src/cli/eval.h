// lighthouse eval: what its two tests share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "lighthouse/core/stop_signal.h"
#include "lighthouse/ops/backend.h"
#include "trained_model.h"

namespace lighthouse {

struct EvalOptions {
  std::vector<std::string> checkpoints;
  std::string attention = "dense";
  std::string device = "auto";
  std::string dtype = "auto";
  std::filesystem::path out;  // "": no files

  // Loss
  std::string data;             // "": each run's validation data
  int64_t sequence_length = 0;  // 0: each run's
  int64_t windows = 0;          // 0: as many as the run's own evaluations
  int64_t batch = 1;
  int64_t ranges = 0;  // 0: doubling

  // Retrieval
  bool retrieval = false;
  std::vector<int64_t> lengths;  // empty: from each run's, halved again and again
  int64_t depths = 7;
  int64_t trials = 10;
  int64_t seed = 42;
  std::filesystem::path filler;
  std::string tokenizer;  // "": where each model's config says
};

AttentionKind attention_of(const EvalOptions& options);

void eval_loss(const EvalOptions& options, Backend& backend, const StopSignal& stop);
void eval_retrieval(const EvalOptions& options, Backend& backend, const StopSignal& stop);

}  // namespace lighthouse
